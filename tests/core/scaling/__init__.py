"""Tests of `tidegate.core.scaling`."""
