"""Tests of `tidegate.engines.replicas`."""
