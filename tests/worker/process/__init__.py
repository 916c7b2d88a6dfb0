"""Tests of `tidegate_worker.process`."""
