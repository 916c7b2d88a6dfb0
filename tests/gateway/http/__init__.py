"""Tests of `tidegate.gateway.http`."""
