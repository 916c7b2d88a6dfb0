"""Tests of `tidegate.dashboard.pages.endpoint`."""
