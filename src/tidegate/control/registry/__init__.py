"""What comes from the model registry: endpoints that follow it, and models whose serving is enabled."""
