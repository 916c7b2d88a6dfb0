"""Tests of what only one adapter promises."""
