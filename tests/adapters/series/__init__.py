"""Tests of `tidegate.adapters.series`."""
