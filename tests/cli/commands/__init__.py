"""Tests of `tidegate.cli.commands`."""
