"""Tests of `tidegate.core.endpoint`."""
