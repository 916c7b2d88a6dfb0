"""Tests of `tidegate.adapters.requirements`."""
