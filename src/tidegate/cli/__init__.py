"""The command line: thin clients of the REST API, except `up`, which is the platform."""
