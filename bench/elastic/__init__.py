"""How elastic the platform is: from zero, up with the load, down to nothing. `python -m bench.elastic`."""
