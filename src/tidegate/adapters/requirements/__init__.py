"""What a model asks of its environment, as MLflow has written it down: pip and conda files, read and checked."""
