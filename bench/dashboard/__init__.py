"""What the dashboard and its series cost, and whether their numbers are true. `python -m bench.dashboard NAME`."""
