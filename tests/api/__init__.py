"""Tests of the REST API, by unmodified clients."""
