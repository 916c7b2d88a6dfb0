"""The test-suite itself, measured: how long it takes, and whether it finds faults that are planted into the code."""
