"""The reconciler and its parts: builds, autoscaler, switches."""
