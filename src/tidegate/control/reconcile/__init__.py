"""What has the world become what was asked for: observe, plan, act."""
