"""Tests of the command line, against the real REST API over fakes, on a loopback port."""
