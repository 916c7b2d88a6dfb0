"""Roll-outs: how an endpoint gets from the configuration that serves to the one that should serve.

`plan` returns the actions that are due. `gate` judges a new configuration by replayed requests (`replay`, `comparison`,
`answer_schema`, `baseline`). `following` reacts to moved aliases and stages (`pointers`). `switch` and `parking` are
what comes after. Everything here is a decision; the reconciler in `tidegate.control` carries it out.
"""
