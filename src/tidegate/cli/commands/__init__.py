"""The verbs of the command line, one file each.

Nothing heavy is imported at the top of these files: `--help` answers at once.
"""
