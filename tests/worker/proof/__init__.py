"""Tests of `tidegate_worker.proof`."""
