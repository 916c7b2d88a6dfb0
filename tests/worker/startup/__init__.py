"""Tests of `tidegate_worker.startup`."""
