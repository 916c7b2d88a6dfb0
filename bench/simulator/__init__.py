"""The autoscaler's own `core.scaling.scaling.decide` under made-up load: `python -m bench.simulator`."""
