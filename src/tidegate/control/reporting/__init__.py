"""What is told of the platform: metrics of now, and minutes for the older products."""
