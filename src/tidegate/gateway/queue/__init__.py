"""From an endpoint's name to a replica: `router.py` finds the queue, `revision_queue.py` the replica.

One pull queue per revision, one lane per replica, and what decides who waits, who goes and who is refused. Nothing here
knows HTTP.
"""
