"""The closed form: what scikit-learn's ridge says, on a scale that has a likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge as Reference
from sklearn.metrics import log_loss

from headstart.adapt.initial_head import InitialHead, initial_head
from headstart.evidence.calibration import Calibration
from headstart.heads.ridge import Ridge

TRAIN = np.arange(0, 40)


def scores(head: InitialHead, features: np.ndarray) -> np.ndarray:
    return (features.astype(np.float64) - head.center) / head.scale @ head.weight.T.astype(np.float64) + head.bias


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression"])
def test_it_ranks_as_ridge_does(make_job, task) -> None:
    job = make_job("image", task)
    taps = job.source.taps[2:]
    head = initial_head(job, taps, TRAIN)
    x = job.features.select(taps)
    ours = scores(head, x)
    fitted = Ridge().fit(job.features.select(taps, TRAIN), job.target.take(TRAIN))
    theirs = fitted.scores(x)
    assert head.weight.shape == (job.target.n_outputs, 2 * 12 + 2 * 24)
    for column, reference in zip(ours.T, theirs.T, strict=True):
        assert np.corrcoef(column, reference)[0, 1] > 0.9999
    if task == "regression":
        np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    weight, bias = head.raw
    np.testing.assert_allclose(x.astype(np.float64) @ weight.T + bias, ours, rtol=1e-3, atol=1e-3)


def test_its_logits_need_no_further_temperature(make_job) -> None:
    job = make_job("image")
    taps = job.source.taps
    head = initial_head(job, taps, TRAIN)
    fitted = Ridge().fit(job.features.select(taps, TRAIN), job.target.take(TRAIN))
    calibration = Calibration.fit("multiclass", fitted.loo_scores, job.target.take(TRAIN))
    logits = scores(head, job.features.select(taps, TRAIN))
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    wanted = calibration.probabilities(fitted.scores(job.features.select(taps, TRAIN)))
    doubt = 1.5 * calibration.doubt  # of the uniform distribution, mixed in by the calibration
    np.testing.assert_allclose((1 - doubt) * shares + doubt / 3, wanted, atol=2e-3)
    assert log_loss(job.target.y[TRAIN], shares) < np.log(3)


def test_numbers_as_scikit_learn_has_them(make_job) -> None:
    job = make_job("text", "regression")
    tap = job.source.taps[-3]
    x = job.features.select([tap]).astype(np.float64)
    fitted = Ridge().fit(job.features.select([tap], TRAIN), job.target.take(TRAIN))
    centred = x[TRAIN] - x[TRAIN].mean(0)
    spread = centred.std(0)
    penalty = fitted.settings["penalty"] * np.mean(np.linalg.eigvalsh((centred / spread).T @ (centred / spread)))
    reference = Reference(alpha=penalty).fit(centred / spread, job.target.y[TRAIN])
    theirs = reference.predict((x - x[TRAIN].mean(0)) / spread)
    ours = scores(initial_head(job, [tap], TRAIN), x)[:, 0]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99


def test_features_are_standardised_by_the_training_rows_alone(make_job) -> None:
    job = make_job("image")
    head = initial_head(job, job.source.taps, TRAIN)
    x = job.features.matrix[TRAIN].astype(np.float64)
    np.testing.assert_allclose(head.center, x.mean(0), rtol=1e-3, atol=1e-3)
    varied = x.std(0) > 0.01 * x.std(0).max()
    np.testing.assert_allclose(head.scale[varied], x.std(0)[varied], rtol=1e-2)
    assert head.scale.min() > 0


def test_nothing_is_known_at_zero(make_job) -> None:
    job = make_job("image")
    head = InitialHead.zero(job, job.source.taps[-1:])
    assert head.weight.shape == (3, 24)
    assert not head.weight.any()
    assert not head.bias.any()
    weight, bias = head.raw
    assert not weight.any()
    assert not bias.any()
