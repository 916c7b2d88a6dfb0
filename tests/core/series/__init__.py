"""Tests of `tidegate.core.series`."""
