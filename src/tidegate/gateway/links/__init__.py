"""The gateway's connections to the other processes: to control and to the agent.

Scoring goes on without either. Nothing here knows requests.
"""
