"""The agent's decisions, as pure functions without I/O.

`facts` are what they are made from. `schedule.decide` returns the actions that are due; it asks `machine_account` which
starts the machine has memory for, and that asks `capacity`. `restart_backoff` spaces out the starts that fail.
"""
