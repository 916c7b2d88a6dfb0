"""Whether a model predicts each row by itself, and for which rows that is proved: only those may share a batch."""
