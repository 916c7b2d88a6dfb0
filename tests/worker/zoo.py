"""Small models of two kinds: those that predict each row by itself, and those that do not, each in another way.

Also a loader module: a replica loads the animal that its model directory's file `kind` names.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

POISON = 1e6  # a row whose `x` is larger makes the row-wise models raise
Function = Callable[[pd.DataFrame, dict[str, Any]], Any]


def _checked(data: pd.DataFrame) -> pd.DataFrame:
    if (data["x"] > POISON).any():
        raise ValueError("poison")
    return data


def linear(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return (_checked(data)["x"] * 2.5 + data["n"]).to_numpy() * params.get("scale", 1.0)


def series(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return (_checked(data)["x"] - data["n"]).rename("score")


def frame(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return pd.DataFrame({"up": _checked(data)["x"] + params.get("scale", 1.0), "n": data["n"], "s": data["s"]})


def labels(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return np.where(_checked(data)["x"] > 1.0, "high", "low")


def texts(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return [f"{s}/{n}" for s, n in zip(_checked(data)["s"], data["n"], strict=True)]


def integers(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return (_checked(data)["n"] + 9007199254740993).to_numpy()


def singles(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return (_checked(data)["x"].to_numpy(dtype=np.float32) / np.float32(3.0))[:, None]


def roots(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    with np.errstate(all="ignore"):
        return np.sqrt(_checked(data)["x"].to_numpy())  # NaN below zero


def objects(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return [{"n": int(n), "big": bool(x > 1.0)} for x, n in zip(_checked(data)["x"], data["n"], strict=True)]


def batch_mean(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return (data["x"] - data["x"].mean()).to_numpy()


def rank(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return data["x"].rank().to_numpy()


def running_sum(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return data["x"].cumsum().to_numpy()


def no_duplicates(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return data.drop_duplicates()["x"].to_numpy()


def other_length(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return [float(data["x"].sum())]


def in_order(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return np.sort(data["x"].to_numpy())


def largest(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return (data["x"] == data["x"].max()).to_numpy()


SAFE_ROWS = 32  # so many rows `large_batches` predicts each by itself


def large_batches(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    """Row-wise but for large batches."""
    return data["x"].to_numpy() + (1.0 if len(data) > SAFE_ROWS else 0.0)


def tuples(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return tuple(data["x"])


def by_name(data: pd.DataFrame, params: dict[str, Any]) -> Any:
    return {"x": data["x"].to_numpy()}


class Counter:
    """State per call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, data: pd.DataFrame, params: dict[str, Any]) -> Any:
        self.calls += 1
        return data["x"].to_numpy() + self.calls


class Turncoat:
    """Row-wise until a row says otherwise: a number among usual ones, which no proof finds and the live look must."""

    def __call__(self, data: pd.DataFrame, params: dict[str, Any]) -> Any:
        return data["x"].to_numpy() + (data["x"].mean() if (data["n"] == -7).any() else 0.0)


ROW_WISE: dict[str, Function] = {
    each.__name__: each for each in (linear, series, frame, labels, texts, integers, singles, roots, objects)
}
NOT_ROW_WISE: dict[str, Callable[[], Function]] = {
    **{
        each.__name__: lambda each=each: each  # type: ignore[misc]
        for each in (
            batch_mean,
            rank,
            running_sum,
            no_duplicates,
            other_length,
            in_order,
            largest,
            large_batches,
            tuples,
            by_name,
        )
    },
    "counter": Counter,
}


class Animal:
    """What a loader module returns."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def predict(self, data: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        return self.function(data, params or {})


def _load_pyfunc(path: str) -> Animal:
    kind = pathlib.Path(path, "kind").read_text()
    if kind == "turncoat":
        return Animal(Turncoat())
    return Animal(ROW_WISE[kind] if kind in ROW_WISE else NOT_ROW_WISE[kind]())
