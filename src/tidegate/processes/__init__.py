"""The processes of this machine as a supervisor needs them: sockets, children, signals, pid files.

Mechanism only: when and in which order is decided in `tidegate.core.supervision`.
"""
