"""The whole platform: real processes, a real registry, real environments, unmodified clients."""
