"""The supervisor's tools: child processes, listening sockets, signals, pid files, and the lock of the data directory.

`children` keeps the processes of a platform running; each is a `child_process`. The others are its parts. When a
process is restarted, and in which order processes end, is decided in `tidegate.core.restart_policy`.
"""
