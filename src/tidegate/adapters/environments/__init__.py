"""Models' environments, built by uv: interpreters, locked packages, overlays with the worker, shared bytecode."""
