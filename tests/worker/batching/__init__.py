"""Tests of `tidegate_worker.batching`."""
