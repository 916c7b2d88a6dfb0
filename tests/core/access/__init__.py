"""Tests of `tidegate.core.planes`."""
