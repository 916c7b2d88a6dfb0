"""Tests of `tidegate_worker.fork`."""
