"""Tests of `tidegate.dashboard.pages`."""
