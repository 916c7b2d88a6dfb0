"""Control's end of the link to the gateways."""
