"""The pages of registered models: the list, one model's versions, the older products, and the launch."""
