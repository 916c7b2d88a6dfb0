"""The series of all endpoints: second by second in memory, minute by minute on disk. Nothing is counted here."""
