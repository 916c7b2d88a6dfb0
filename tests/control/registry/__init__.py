"""Following the registry, and models whose serving is enabled."""
