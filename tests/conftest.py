"""Fixtures that several folders of tests share."""

from tests.registries import mlflow_database, mlflow_server

__all__ = ["mlflow_database", "mlflow_server"]
