"""Tests of `tidegate.dashboard.pages.endpoint_changes`."""
