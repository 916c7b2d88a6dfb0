"""Who may call: sessions of people who have logged in, and the access table that gateways know callers by."""
