"""The control plane: it knows what should run, and brings that about.

Begin with `cycle.py`: it has the parts, the order in which they work, and what wakes them. Then, from above to below:
`registry` (models that are followed or enabled), `reporting` (metrics and minutes) beside `housekeeping.py` (the disk),
`endpoints` (the verbs), `reconcile` (observe, plan, act), `access` (sessions, and who calls) and `publish` (tables to
the gateways, reports back).

Only control opens the store. HTTP is in `tidegate.api`, decisions are in `tidegate.core`, and `tidegate.gateway` is
never imported.
"""
