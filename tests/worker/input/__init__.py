"""Tests of `tidegate_worker.input`."""
