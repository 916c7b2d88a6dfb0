"""The data plane, over real sockets: uvicorn, a wire-speaking replica, an agent and a control link."""
