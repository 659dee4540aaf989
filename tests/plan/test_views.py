"""Layer sets and views."""

from __future__ import annotations

import numpy as np

from headstart.features.blocks import Features
from headstart.plan.views import FusedView, RowsView, SourceView, TfidfView, layer_sets
from headstart.sources.base import Tap

TAPS = tuple(Tap(f"s{d}.{p}", d, p, 2) for d in range(4) for p in ("mean", "max"))


def features(n: int = 5) -> Features:
    return Features(TAPS, np.arange(n * 16, dtype=np.float16).reshape(n, 16))


class _Origin:
    name = "made"
    parameters = 3_000_000


def test_layer_sets_last_is_the_linear_probe():
    sets = layer_sets(TAPS)
    assert [t.name for t in sets["last"]] == ["s3.mean"]
    assert {t.depth for t in sets["late"]} == {2, 3}
    assert sets["all"] == TAPS


def test_layer_sets_that_coincide_are_given_once():
    assert list(layer_sets(TAPS[-2:-1])) == ["last"]


def test_last_without_a_mean_is_the_whole_deepest_layer():
    taps = (Tap("a", 0, "mean", 1), Tap("b", 1, "max", 1))
    assert layer_sets(taps)["last"] == taps[1:]


def test_source_view_takes_its_columns_in_order():
    view = SourceView(features(), _Origin(), (TAPS[6], TAPS[1]), "some")
    assert view.matrix(np.array([1])).tolist() == [[28.0, 29.0, 18.0, 19.0]]
    assert view.width == 4
    assert view.cost == 3.0


def test_fused_view_is_its_parts_side_by_side():
    one = SourceView(features(), _Origin(), TAPS[:1], "a")
    two = SourceView(features(), _Origin(), TAPS[7:], "b")
    fused = FusedView((one, two))
    rows = np.array([0, 4])
    assert np.array_equal(fused.fit(rows).matrix(rows), np.hstack([one.matrix(rows), two.matrix(rows)]))
    assert fused.source == "made+made"
    assert len(fused.states()) == 2


def test_tfidf_vocabulary_is_of_the_training_rows_only():
    texts = ["red apple pie", "red apple tart", "green pear pie", "zebra zebra zebra"]
    fitted = TfidfView(texts).fit(np.array([0, 1, 2]))
    unseen = fitted.matrix(np.array([3]))
    alone = TfidfView(texts[:3]).fit(np.array([0, 1, 2]))
    assert unseen.shape[1] == alone.matrix(np.array([0])).shape[1]
    assert unseen.nnz == 0


def test_rows_view_fills_with_training_medians():
    table = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 6.0], [1000.0, 1000.0]])
    fitted = RowsView(table, ("a", "b")).fit(np.array([0, 1, 2]))
    seen = fitted.matrix(np.array([0, 1, 2]))
    assert np.isfinite(seen).all()
    assert abs(float(seen[:, 0].mean())) < 1e-6
