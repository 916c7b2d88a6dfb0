"""Warm templates: processes that have imported an environment's packages, and from which replicas are forked.

`templates` decides which templates there are, `template_process` is one of them, `template_imports` says what it
imports, and `fork_test` reads the result of a fork trial. Replicas themselves are no matter of this room.
"""
