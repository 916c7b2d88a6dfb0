"""The agent: the process that runs replicas on one machine.

`agent_process` is its entry, `agent` its main loop, and `agent_server` its socket. Control uses the socket by a client,
`local_engine`.
"""
