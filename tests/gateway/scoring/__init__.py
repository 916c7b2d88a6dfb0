"""Tests of `tidegate.gateway.scoring`."""
