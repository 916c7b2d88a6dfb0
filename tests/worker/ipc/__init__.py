"""Tests of `tidegate_worker.ipc`."""
