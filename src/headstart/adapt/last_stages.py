"""Last stages: what stands above a cut trains, on activations of the frozen trunk that were computed once.

The first head is the probe's, so that training starts where the frozen source ends. Three cuts, by the share of the
graph's work that lies above: the more is trained, the further a source can go, and the longer it takes. Of
EfficientNet-Lite0 they train stage 7; stages 6 and 7; stages 4 to 7. Of a BERT with six layers the last; two; four. Of
Whisper tiny, of four layers, the last; the last; three.
"""

from __future__ import annotations

from headstart.adapt.base import Job
from headstart.adapt.cuts import Cut, anatomy
from headstart.adapt.recipe import Recipe
from headstart.adapt.tuning import Tuning, schedule

VIEWS = 4
"""Of each image: as it is, mirrored, and varied; of each sound: as it is, and varied."""


class LastStages(Tuning):
    """Trains at most two fifths of the graph's work."""

    name = "last-stages"
    most = 0.4

    def recipe(self, job: Job, rows: int) -> Recipe:
        """Above the cut with the largest share that is allowed."""
        return Recipe(schedule(rows), self.cut(job), views=1 if job.source.modality == "text" else VIEWS)

    def reason_not(self, job: Job) -> str | None:
        """See `Strategy`."""
        reason = super().reason_not(job)
        if reason is None and self.cut(job) is None:
            return "the graph has no place to cut it at"
        return reason

    def cut(self, job: Job) -> Cut | None:
        """The shallowest cut above which at most `most` of the work lies; else the deepest cut."""
        cuts = anatomy(job.source).cuts
        return next((cut for cut in cuts if cut.share <= self.most), cuts[-1] if cuts else None)


class LastStagesLight(LastStages):
    """Trains at most a fifth."""

    name = "last-stages-light"
    most = 0.2


class LastStagesDeep(LastStages):
    """Trains at most three quarters."""

    name = "last-stages-deep"
    most = 0.75
