"""Sessions and the access table."""
