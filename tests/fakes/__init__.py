"""The fakes of the ports, one file each; each passes the contract suite of its port."""
