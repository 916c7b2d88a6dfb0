"""Tests of `tidegate.adapters.environments`."""
