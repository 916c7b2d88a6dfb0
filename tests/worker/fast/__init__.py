"""Tests of `tidegate_worker.fast`."""
