"""This replica as a process: log, signals, time limits, memory, working directory, end. Nothing here knows models."""
