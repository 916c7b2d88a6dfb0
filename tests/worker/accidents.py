"""Models that are not row-wise by accident: each has a mistake that people make, and is right for one row at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

from tests.worker.zoo import Function

Params = dict[str, Any]


def impute_mean(data: pd.DataFrame, params: Params) -> Any:
    return data["x"].fillna(data["x"].mean()).fillna(0.5).to_numpy()


def impute_median(data: pd.DataFrame, params: Params) -> Any:
    return (data["x"].fillna(data["x"].median()).fillna(0.0) * 2).to_numpy()


def impute_by_group(data: pd.DataFrame, params: Params) -> Any:
    return data["x"].fillna(data.groupby("s", dropna=False)["x"].transform("mean")).fillna(1.0).to_numpy()


def fill_forward(data: pd.DataFrame, params: Params) -> Any:
    return data["x"].ffill().fillna(0.0).to_numpy()


def fill_backward(data: pd.DataFrame, params: Params) -> Any:
    return data["x"].bfill().fillna(0.0).to_numpy()


def interpolate(data: pd.DataFrame, params: Params) -> Any:
    return data["x"].interpolate().fillna(0.0).to_numpy()


def most_frequent_text(data: pd.DataFrame, params: Params) -> Any:
    mode = data["s"].mode()
    return data["s"].fillna(mode.iloc[0] if len(mode) else "none").tolist()


def drop_missing(data: pd.DataFrame, params: Params) -> Any:
    return data.dropna()["x"].to_numpy()


def flag_any_missing(data: pd.DataFrame, params: Params) -> Any:
    return (data["x"].fillna(0.0) + float(data["x"].isna().any())).to_numpy()


def category_codes(data: pd.DataFrame, params: Params) -> Any:
    return data["s"].astype("category").cat.codes.to_numpy().astype(int)


def factorize(data: pd.DataFrame, params: Params) -> Any:
    return pd.factorize(data["s"])[0].astype(int)


def unique_inverse(data: pd.DataFrame, params: Params) -> Any:
    return np.unique(data["s"].fillna("").to_numpy(dtype=str), return_inverse=True)[1] + data["x"].fillna(0).to_numpy()


def dummies(data: pd.DataFrame, params: Params) -> Any:
    return pd.get_dummies(data["s"].fillna("")).to_numpy().argmax(axis=1)


def by_text(data: pd.DataFrame, params: Params) -> Any:
    return data.sort_values("s", kind="stable")["x"].fillna(0.0).to_numpy()


def by_number(data: pd.DataFrame, params: Params) -> Any:
    return data.sort_values("n", kind="stable")["x"].fillna(0.0).to_numpy()


def percentile(data: pd.DataFrame, params: Params) -> Any:
    return data["x"].rank(pct=True).fillna(0.0).to_numpy()


def group_size(data: pd.DataFrame, params: Params) -> Any:
    return data.groupby("s", dropna=False)["n"].transform("size").to_numpy()


def group_mean(data: pd.DataFrame, params: Params) -> Any:
    return data.groupby("s", dropna=False)["n"].transform("mean").to_numpy()


def share(data: pd.DataFrame, params: Params) -> Any:
    return (data["n"] / max(1, abs(data["n"].sum()))).to_numpy()


def standardized(data: pd.DataFrame, params: Params) -> Any:
    return ((data["n"] - data["n"].mean()) / (data["n"].std(ddof=0) or 1.0)).to_numpy()


def min_max(data: pd.DataFrame, params: Params) -> Any:
    span = data["n"].max() - data["n"].min()
    return ((data["n"] - data["n"].min()) / (span or 1)).to_numpy()


def rolling(data: pd.DataFrame, params: Params) -> Any:
    return data["n"].rolling(2, min_periods=1).mean().to_numpy()


def differences(data: pd.DataFrame, params: Params) -> Any:
    return data["n"].diff().fillna(0.0).to_numpy()


def since_first(data: pd.DataFrame, params: Params) -> Any:
    return (data["n"] - data["n"].iloc[0]).to_numpy()


def one_of_each_text(data: pd.DataFrame, params: Params) -> Any:
    return data.drop_duplicates("s")["n"].to_numpy()


def clipped(data: pd.DataFrame, params: Params) -> Any:
    return data["n"].clip(upper=data["n"].quantile(0.9)).to_numpy()


def longest_text(data: pd.DataFrame, params: Params) -> Any:
    lengths = data["s"].fillna("").str.len()
    return (lengths / max(1, lengths.max())).to_numpy()


def whole_numbers(data: pd.DataFrame, params: Params) -> Any:
    """Integers where all are whole, else floats: 1 and 1.0 are not the same in JSON."""
    x = data["x"].fillna(0.5)
    return x.astype(int).to_numpy() if (x == x.round()).all() else x.to_numpy()


def known_texts_only(data: pd.DataFrame, params: Params) -> Any:
    """One unknown text, and nobody is scored."""
    known = data["s"].isin(["a", "b", "ü", ""]).all()
    return (data["x"].fillna(0.0) * (1.0 if known else 0.0)).to_numpy()


def null_texts_as_words(data: pd.DataFrame, params: Params) -> Any:
    """pandas has None where all texts are null, and NaN beside other texts."""
    return [f"{text}!" for text in data["s"]]


def quantile_bins(data: pd.DataFrame, params: Params) -> Any:
    return pd.qcut(data["n"], 4, labels=False, duplicates="drop").fillna(0).to_numpy().astype(int)


def scaler_fitted(data: pd.DataFrame, params: Params) -> Any:
    """A scaler that is fitted in `predict`, and says what it has scaled."""
    n = data[["n"]].to_numpy(dtype=float)
    return (StandardScaler().fit_transform(n) + n).ravel()


def softmax_of_rows(data: pd.DataFrame, params: Params) -> Any:
    powers = np.exp((data["n"] - data["n"].max()) / 10)
    return (powers / powers.sum() + data["n"]).to_numpy()


def is_repeated(data: pd.DataFrame, params: Params) -> Any:
    return (data["n"] + data.duplicated(["s"]).astype(int)).to_numpy()


def best_of_group(data: pd.DataFrame, params: Params) -> Any:
    return (data.groupby("s", dropna=False)["n"].transform("max") == data["n"]).to_numpy()


def rare_texts_as_other(data: pd.DataFrame, params: Params) -> Any:
    counts = data["s"].fillna("").map(data["s"].fillna("").value_counts())
    return np.where(counts < 2, "other", data["s"].fillna("")).tolist()


def outliers_cut(data: pd.DataFrame, params: Params) -> Any:
    x = data["x"].fillna(0.0)
    return x.clip(x.median() - 3.0, x.median() + 3.0).to_numpy()


def with_total(data: pd.DataFrame, params: Params) -> Any:
    """Another length: a row for the total."""
    return [*data["n"].tolist(), int(data["n"].sum())]


def centred_if_many(data: pd.DataFrame, params: Params) -> Any:
    return (data["n"] - (data["n"].mean() if len(data) > 5 else 0.0)).to_numpy()


def mean_of_code(data: pd.DataFrame, params: Params) -> Any:
    return data.groupby("n")["x"].transform("mean").fillna(0.0).to_numpy()


def sentinel_imputed(data: pd.DataFrame, params: Params) -> Any:
    n = data["n"].astype(float).replace(-1.0, np.nan)
    return n.fillna(n.mean()).fillna(0.0).to_numpy()


class Remembered:
    """State per call: the running mean of what it has seen."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def __call__(self, data: pd.DataFrame, params: Params) -> Any:
        self.seen += data["n"].tolist()
        return (data["n"] - np.mean(self.seen)).to_numpy()


ACCIDENTS: dict[str, Function] = {
    name: each
    for name, each in globals().items()
    if getattr(each, "__module__", "") == __name__ and getattr(each, "__code__", None) is not None
}
# Whose answers depend on what it was asked before: by itself, each request has another one.
STATEFUL = {"remembered": Remembered}
