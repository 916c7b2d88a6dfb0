"""What holds revisions running. One file per engine, and the agent that is its hands on a machine.

The only package that starts replicas. It knows targets, replicas and addresses; nothing of endpoints, routes or HTTP.
"""
