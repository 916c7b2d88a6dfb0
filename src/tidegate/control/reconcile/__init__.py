"""The reconciler and its parts: observe the world, plan, act."""
