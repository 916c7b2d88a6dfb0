"""A loaded model: loading, the stock path through MLflow, and the proof that it answers before it is called ready."""
