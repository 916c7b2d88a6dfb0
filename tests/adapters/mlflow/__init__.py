"""Tests of `tidegate.adapters.mlflow`."""
