"""Event streams: one a page, fed once a second. What is sent is composed once for all that look at the same thing."""
