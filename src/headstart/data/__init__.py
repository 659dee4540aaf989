"""What the user has: items, labels, groups; folders and tables; splits; samples to try things on.

Items are named here, never decoded. Nothing in this layer imports pandas; a DataFrame is read through its own methods.
"""

from headstart.data.dataset import FILES, MODALITIES, Dataset, Items, Modality, Skipped
from headstart.data.inputs import read_inputs
from headstart.data.read import read, read_for_model
from headstart.data.samples import Sample, sample_path, samples
from headstart.data.splits import Fold, folds, holdout, subset_per_class

__all__ = [
    "FILES",
    "MODALITIES",
    "Dataset",
    "Fold",
    "Items",
    "Modality",
    "Sample",
    "Skipped",
    "folds",
    "holdout",
    "read",
    "read_for_model",
    "read_inputs",
    "sample_path",
    "samples",
    "subset_per_class",
]
