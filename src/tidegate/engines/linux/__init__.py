"""Linux as the engine uses it: it starts processes, measures them, and tidies up after them.

`spawning` starts a process with its `scratch` directory and its log (`replica_logs`). `process_usage` and `machine`
measure. `replica_deadline`, `exit_statuses` and `offspring` see how processes end, and end them. Nothing here decides.
"""
