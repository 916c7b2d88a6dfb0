"""Tests of `tidegate.gateway.queue`."""
