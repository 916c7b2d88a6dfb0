"""Programs that run in the peers' environments, not in Tidegate's."""
