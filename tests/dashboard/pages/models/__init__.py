"""Tests of `tidegate.dashboard.pages.models`."""
