"""The rest of the outside world, one file each, behind the protocols of `tidegate.ports`.

Foreign exceptions stop here: what leaves is a `TidegateError` with a sentence.
"""
