"""What is told of the platform: metrics of now, and the minutes of the last hour."""
