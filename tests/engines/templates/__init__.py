"""Tests of `tidegate.engines.templates`."""
