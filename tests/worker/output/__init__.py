"""Tests of `tidegate_worker.output`."""
