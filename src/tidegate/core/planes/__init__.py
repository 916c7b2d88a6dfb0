"""The two values in which the two planes meet: a route table goes down to the gateways, a load report comes up."""
