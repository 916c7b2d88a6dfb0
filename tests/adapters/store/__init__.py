"""Tests of `tidegate.adapters.store`."""
