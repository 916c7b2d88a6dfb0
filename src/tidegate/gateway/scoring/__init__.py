"""A scoring request from its first byte to its last: `request.py`, top to bottom.

Who may ask, which endpoint is meant, how the body comes in, and the bytes of the answer. What happens to a request
while it waits for a replica is in `queue`.
"""
