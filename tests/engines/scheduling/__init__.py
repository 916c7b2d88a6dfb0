"""Tests of `tidegate.engines.scheduling`."""
