"""What every part of Tidegate agrees on: types, states and decisions.

Pure: no I/O, no asyncio, no clock (time is an argument), nothing but the standard library. Everybody may import it.
"""
