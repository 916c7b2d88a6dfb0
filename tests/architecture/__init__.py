"""Checks of the house that no linter makes. The floors are import-linter's, in `pyproject.toml`."""
