"""How many replicas a revision should have, and the averages over time that this is decided from."""
