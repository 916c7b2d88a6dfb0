"""The pages of one endpoint: the frame with its head and tabs, and a page for each tab."""
