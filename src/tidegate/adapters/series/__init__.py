"""The series in SQL: a SQLite file of their own, or the PostgreSQL database of the store."""
