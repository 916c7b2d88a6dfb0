"""Metrics and minutes."""
