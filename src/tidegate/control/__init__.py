"""The control plane: what should run, and seeing to it that it does.

Verbs over endpoints, the reconciler, builds, and the link to the gateways. Only control opens the store. No HTTP here
(the faces are in `tidegate.api`), no deciding (that is `tidegate.core`), never an import of `tidegate.gateway`.
"""
