"""Tests of `tidegate.dashboard`."""
