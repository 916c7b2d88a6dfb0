"""Tests of `tidegate.engines.agent`."""
