"""Tests of `deploy/`: what others run beside Tidegate."""
