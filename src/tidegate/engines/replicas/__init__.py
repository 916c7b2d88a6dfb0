"""Replicas: how they are started, adopted, drained and ended, and the agent's state of them.

`fleet` has the state (`held_revision` of one revision, `fleet_reports` for others), `replicas` acts on the processes
(`launcher` starts them, `replica_process` is one of them, `fork_trials` tries forks), and the rest is on disk or words:
`applied_targets`, `replica_record`, `greeting`, `endings`. The room uses `templates`, `linux` and `scheduling`.
"""
