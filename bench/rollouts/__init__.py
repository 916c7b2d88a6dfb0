"""Roll-outs: what promotions, rollbacks, sabotaged versions and faults do to the requests of an endpoint."""
