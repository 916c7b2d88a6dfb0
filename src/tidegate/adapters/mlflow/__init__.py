"""MLflow: the registry's client, in a process of its own, and the embedded registry."""
