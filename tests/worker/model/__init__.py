"""Tests of `tidegate_worker.model`."""
