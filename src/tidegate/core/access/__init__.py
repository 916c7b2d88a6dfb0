"""Who calls, and what they may do: principals, the table by which gateways know them, permissions.

It stands below the planes, which carry the table.
"""
