"""The types, states and decisions that all parts of Tidegate share.

Read `endpoint` first, then `rollout` (how a configuration comes to serve), `planes` (the messages between control and
gateways) and `scaling`. `legacy_products` has the two older products. Every module is pure: no I/O, no asyncio, no
clock (time is an argument), and no package but the standard library. Every other package may import this one.
"""
