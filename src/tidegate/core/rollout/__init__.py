"""How an endpoint comes from what it serves to what it should serve: plan, gate, switch, parking, following.

Decisions only: the reconciler in `tidegate.control` carries them out.
"""
