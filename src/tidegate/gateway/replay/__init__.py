"""The gate's eyes: recent requests are recorded, and asked again of the revision that is to serve next.

Recordings are held in memory only. What a replay finds goes up with the load report; `core.rollout.gate` judges it.
"""
