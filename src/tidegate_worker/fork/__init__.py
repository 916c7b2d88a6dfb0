"""What makes a forked replica like a spawned one, and children in which a model is tried."""
