"""The only counters of requests: in memory, and in a file that outlives the process.

Metrics, load reports and the autoscaler all read these counters; nobody else counts.
"""
