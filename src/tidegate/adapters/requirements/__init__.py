"""Requirements of models: reads and checks the pip and conda files that MLflow logged."""
