"""An endpoint and its revisions: types, names, checks of what an owner may ask for, states and their transitions.

The ground floor: the other rooms of `core` build on it, and it imports none of them.
"""
