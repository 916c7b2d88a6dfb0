"""The same rows as a request in each form: `dataframe_split`, `dataframe_records`, `inputs` and `instances`."""

import random
from typing import Any


def form(columns: dict[str, list[Any]], source: random.Random) -> dict[str, Any]:
    """A document with these columns, in some order of theirs."""
    names = list(columns)
    if source.random() < 0.3:
        source.shuffle(names)
    rows = [list(row) for row in zip(*(columns[name] for name in names), strict=True)]
    records = [dict(zip(names, row, strict=True)) for row in rows]
    return source.choice(
        [
            {"dataframe_split": {"columns": names, "data": rows}},
            {"dataframe_split": {"columns": names, "data": rows, "index": list(range(len(rows)))}},
            {"dataframe_split": {"columns": names, "data": rows, "index": [f"r{7 * at}" for at in range(len(rows))]}},
            {"dataframe_records": records},
            {"inputs": {name: columns[name] for name in names}},
            {"instances": records},
        ]
    )
