"""Tests of `tidegate.gateway.replay`."""
