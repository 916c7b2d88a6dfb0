"""One endpoint: the frame of all its pages with head and tabs, and the tabs Slow, Logs, Query and Settings."""
