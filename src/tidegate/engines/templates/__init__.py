"""Warm templates: processes with an environment's packages imported, from which replicas are forked."""
