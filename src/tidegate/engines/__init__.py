"""The engine: starts the replicas of each revision and keeps them running.

Read `agent` first, then `scheduling` (decisions), `replicas` and `templates` (processes), and `linux` (what the kernel
offers). No other package starts replicas. This one knows targets, replicas and addresses, and no endpoints, routes or
HTTP.
"""
