"""Forks: what makes a forked replica equal to a spawned one, and the child processes in which a model is tried.

Read `import_record` (what a template imports), `library_caches` and `random_generators` (what it does before and after
a fork), `shadowed_modules` (what a fork takes out again), then `trial_child`, which is no replica but a child of one.

The template itself is `tidegate_worker.template`. Nothing here knows a model's input or output.
"""
