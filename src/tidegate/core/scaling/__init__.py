"""Scaling: how many replicas a revision should have.

`scaling.decide` decides it from a `load_window` and from `cpu_share`. `minute` summarises an endpoint's load for
people.
"""
