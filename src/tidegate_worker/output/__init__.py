"""Predictions into JSON, and whether two answers are the same."""
