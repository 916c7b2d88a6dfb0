"""Tests of `tidegate.control.series`."""
