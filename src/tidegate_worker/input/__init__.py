"""Request bodies into what a pyfunc model takes, by the model's signature, as MLflow's scoring server reads them."""
