"""Requests that are predicted together: who with whom, for how long, and the look back once answers have gone out."""
