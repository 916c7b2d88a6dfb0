"""Tests of `tidegate.core.legacy_products`."""
