"""The link to the gateways: route tables go down, load reports come up."""
