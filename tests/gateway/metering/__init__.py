"""Tests of `tidegate.gateway.metering`."""
