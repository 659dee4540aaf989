"""How much of selection's optimism the estimate of a fit takes off: against the truth on items held out.

    python benchmarks/optimism.py solar-cells --items 100 --draws 60

Draws of a sample set are fitted as `headstart fit` does: ridge on three layer sets, then logistic regression and class
means on the one that won, ten folds to 100 items and five above. The truth of a candidate is the accuracy of the same
fold models on up to 800 other items. Its optimism is its out-of-fold accuracy less that; less the same of all heads on
all layer sets, which nothing selected, to take off what is easy or hard in a draw.

Three estimates of it: with the losses as they are on all items, with the losses of each replicate (what a fit does),
and with the layer set chosen anew in each replicate too, which needs every head on every layer set.

Expected, in points (2026-11-25): true, losses kept, redrawn, layer set too, with the true one's standard error.

    solar-cells --items 100 --draws 74    1.35 ± .20    .61     .97    1.05
    digits --items 120 --draws 72         -.04 ± .19    .33     .48     .48
    api-docs --items 150 --draws 28        .70 ± .25    .71    1.18    1.21
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.data.read import read
from headstart.data.samples import sample_path
from headstart.data.splits import folds
from headstart.evidence import Calibration, Candidates, corrected, item_scores, one_standard_error
from headstart.evidence.metrics import item_losses
from headstart.plan.candidates import frozen
from headstart.plan.views import SourceView, layer_sets
from headstart.progress import SILENT
from headstart.tasks import Target
from headstart.workflow import FitOptions
from headstart.workflow.clock import Clock
from headstart.workflow.gather import gather

HEADS = ("ridge", "logistic", "means")
PROBE = ("logistic", "last")
MOST_OTHERS = 800
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Grid:
    """Every head on every layer set, on one draw of n items; columns are heads x sets.

    Attributes:
        heads, sets: of each column.
        scores, losses: (n, K) out of fold.
        truth: (K,) accuracy of the fold models on other items.
    """

    heads: tuple[str, ...]
    sets: tuple[str, ...]
    scores: Floats
    losses: Floats
    truth: Floats

    def tried(self, winner: str) -> list[int]:
        """The columns that a fit tries where ridge prefers a layer set."""
        pairs = enumerate(zip(self.heads, self.sets, strict=True))
        return [k for k, (head, name) in pairs if head == "ridge" or name == winner or (head, name) == PROBE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="a sample set of classes")
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--draws", type=int, default=60)
    args = parser.parse_args()
    gathered = gather(read(sample_path(args.name)), FitOptions(), SILENT, Clock())
    assert gathered.dataset.target is not None
    view, target = gathered.sources[0], gathered.dataset.target
    found = 100 * np.array([optimisms(grid(view, target, args.items, seed)) for seed in range(args.draws)])
    means, errors = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(len(found))
    for words, mean, error in zip(("true", "losses kept", "redrawn", "layer set too"), means, errors, strict=True):
        print(f"{words:14s} {mean:5.2f} ± {error:.2f} points")


def grid(view: SourceView, target: Target, n: int, seed: int) -> Grid:
    """One draw, with three items of each class at least."""
    drawn = np.random.default_rng(seed).permutation(len(target))
    few = np.concatenate([drawn[target.y[drawn] == c][:3] for c in range(target.n_outputs)])
    rest = drawn[~np.isin(drawn, few)]
    rows, others = np.concatenate([few, rest[: n - len(few)]]), rest[n - len(few) :][:MOST_OTHERS]
    small = target.take(rows)
    splits = folds(small, k=10 if n <= 100 else 5, seed=seed)
    keys = [(head, name) for head in HEADS for name in layer_sets(view.taps)]
    scores, losses, truth = np.zeros((n, len(keys))), np.zeros((n, len(keys))), np.zeros(len(keys))
    for k, (head, name) in enumerate(keys):
        part = SourceView(view.features, view.origin, layer_sets(view.taps)[name], name)
        p = np.zeros((n, target.n_outputs))
        for fold in splits:
            train = small.take(fold.train)
            fitted = frozen(part, head).head.fit(part.matrix(rows[fold.train]), train, seed=0)
            calibration = Calibration.fit(target.task, fitted.loo_scores, train)
            p[fold.test] = calibration.probabilities(fitted.scores(part.matrix(rows[fold.test])))
            right = fitted.scores(part.matrix(others)).argmax(axis=1) == target.y[others]
            truth[k] += right.mean() * len(fold.test) / n
        scores[:, k], losses[:, k] = item_scores(small, p), item_losses(small, p)["log_loss"]
    heads, sets = zip(*keys, strict=True)
    return Grid(heads, sets, scores, losses, truth)


def optimisms(given: Grid) -> list[float]:
    """The true one of what a fit chooses, and three estimates."""
    ridge = [k for k, head in enumerate(given.heads) if head == "ridge"]
    n = len(given.scores)

    def whole(sums: Floats, sizes: Floats, weights: Floats, losses: Floats | None = None) -> NDArray[np.int64]:
        """The layer set by ridge, then one of what is tried with it."""
        assert losses is not None
        best = by_mean(sums[:, ridge], sizes, weights, losses[:, ridge])
        taken = np.zeros(len(weights), np.int64)
        for k in np.unique(best):
            columns, samples = np.array(given.tried(given.sets[ridge[k]])), best == k
            rule = one_standard_error(np.ones(len(columns)), np.ones(len(columns)))
            taken[samples] = columns[rule(sums[:, columns], sizes, weights[samples], losses[:, columns])]
        return taken

    everything = corrected(Candidates(given.scores, whole, given.losses))
    winner = ridge[int(by_mean(given.scores[:, ridge], np.ones(n), np.ones((1, n)), given.losses[:, ridge])[0])]
    columns = given.tried(given.sets[winner])
    rule = one_standard_error(np.ones(len(columns)), given.losses[:, columns].mean(axis=0))
    kept = corrected(Candidates(given.scores[:, columns], rule))
    redrawn = corrected(Candidates(given.scores[:, columns], rule, given.losses[:, columns]))
    unselected = float((given.scores.mean(axis=0) - given.truth).mean())
    true = redrawn.naive - float(given.truth[columns[redrawn.chosen]]) - unselected
    return [true, kept.optimism, redrawn.optimism, everything.optimism]


def by_mean(sums: Floats, sizes: Floats, weights: Floats, losses: Floats) -> NDArray[np.int64]:
    """The highest mean; of equals the smaller loss."""
    items = (weights @ sizes)[:, None]
    means, lost = weights @ sums / items, weights @ losses / items
    taken: NDArray[np.int64] = np.where(means == means.max(axis=1, keepdims=True), lost, np.inf).argmin(axis=1)
    return taken


if __name__ == "__main__":
    main()
