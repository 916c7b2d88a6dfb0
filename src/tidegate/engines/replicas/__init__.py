"""Replicas: started, adopted, drained and ended; and the account of all that are held and that run."""
