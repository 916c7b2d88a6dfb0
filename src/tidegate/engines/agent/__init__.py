"""The engine's process on one machine, its socket, and the client that control uses."""
