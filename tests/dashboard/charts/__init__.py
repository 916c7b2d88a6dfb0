"""Tests of `tidegate.dashboard.charts`."""
