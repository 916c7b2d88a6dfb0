"""An endpoint and its revisions: their types, names, validation, and states.

Read `endpoint` and `revision` first. `lifecycle` has the states that are recorded, and `status` computes the public
ones. The other rooms of `core` build on this one, and it imports none of them.
"""
