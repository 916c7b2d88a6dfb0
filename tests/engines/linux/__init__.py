"""Tests of `tidegate.engines.linux`."""
