"""Tests of `tidegate.core.rollout`."""
