"""Tests of the worker, which runs inside the models' environments."""
