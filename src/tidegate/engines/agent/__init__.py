"""The agent: the process that runs replicas on one machine.

`agent` is its main loop, `agent_server` its socket, and `local_engine` the client by which control uses that socket.
"""
