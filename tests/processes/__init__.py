"""Tests of tidegate.processes."""
