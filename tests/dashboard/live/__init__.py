"""Tests of `tidegate.dashboard.live`."""
