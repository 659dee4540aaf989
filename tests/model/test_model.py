"""A model in use: the columns of its fit, inputs of every kind, and what it cannot use."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import headstart as hs


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """60 rows: `risk` follows x; `label`, which looks more like one, is noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    return pd.DataFrame({"x": x[:, 0], "z": x[:, 1], "risk": x[:, 0] > 0, "label": rng.random(60) > 0.5})


@pytest.fixture(scope="module")
def model(table: pd.DataFrame) -> hs.Model:
    return hs.fit(table.drop(columns="label"), label="risk")


def test_evaluate_takes_the_label_column_of_the_fit(model, table):
    assert model.card.labels == ("risk",)
    assert model.evaluate(table)["metrics"]["accuracy"]["value"] > 0.95
    assert model.evaluate(table, label="label")["metrics"]["accuracy"]["value"] < 0.8


def test_the_order_of_columns_is_of_no_matter(model, table):
    assert model.predict(table[["z", "x"]]) == model.predict(table)
