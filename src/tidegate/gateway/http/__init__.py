"""HTTP between clients and the gateway, and everything that is not scoring.

A client's connection, the ASGI application behind it, and the proxy to control and to the registry. The top of the
gateway: nothing else in it imports from here.
"""
