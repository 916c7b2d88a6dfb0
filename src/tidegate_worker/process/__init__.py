"""The replica as a process, from its start to its end.

`launch` is what it is told, and `start_time` how it began. `outlets` and `log` are where it writes; `signals`,
`time_limit` and `scratch_directory` keep a model from harming it or others; `resident_memory` is measured for the
agent; `shutdown` ends it.

Nothing here knows models.
"""
