"""Amounts of memory in sentences."""


def gb(size: int) -> str:
    """An amount of memory for people to read, in GB (10^9 bytes) or MB (10^6 bytes)."""
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e6:.0f} MB"
