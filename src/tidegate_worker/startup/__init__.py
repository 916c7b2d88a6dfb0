"""How a loaded model will serve: its path and its batching, found out in trials before the first request."""
