"""A model's output as JSON (`encoder`), and the comparison of two answers (`equality`).

Both paths and all proofs encode and compare by this room. Nothing here knows requests or batches.
"""
