"""The autoscaler's own function, `tidegate.core.scaling.decide`, under made-up load: `python -m bench.simulator`."""
