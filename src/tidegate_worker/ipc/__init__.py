"""Bytes between gateways and this replica: frames, a connection per gateway, and how the next frame is awaited."""
