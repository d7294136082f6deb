"""A market on a file that the package has never seen: what is sensible is chosen, and said.

Every choice gives way to a field that is set on the command line. Our choices are stated in
`suggest`; nothing here is from the D2M paper.
"""

from functools import partial
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from d2m_jax import data as datasets
from d2m_jax.cli import paths
from d2m_jax.cli.door import Call
from d2m_jax.data import Dataset

FILE_CONFIG = "configs/file.py"
MOST_SELLERS = 20


def configure_file(call: Call) -> list[str]:
    """Reads the file of `--data` and fits the configuration to it; returns what was chosen.

    Raises:
        ValueError: no label, or a file that makes no market.
    """
    path = paths.given(call.flags.data)
    if not call.flags.label and path.suffix != ".npz":
        raise ValueError("--data needs --label: the column that is to be predicted")
    read = partial(datasets.from_file, path, call.flags.label, client=call.flags.client)
    dataset = read()
    notes = []
    if call.file.name == FILE_CONFIG.rpartition("/")[2]:
        for field, value, why in suggest(dataset):
            if field not in call.overrides:
                set_field(call.config, field, value)
                notes.append(f"{field} = {value}: {why}")
    set_field(call.config, "data.name", Loaded(path.stem, dataset))
    return notes


class Loaded:
    """A data set that has been read, under the name of its file."""

    def __init__(self, name: str, dataset: Dataset):
        self.name, self.dataset = name, dataset

    def __call__(self) -> Dataset:
        """The data set."""
        return self.dataset


def set_field(config: ConfigDict, field: str, value: Any) -> None:
    """Sets a dotted field, whatever its type was."""
    *parents, last = field.split(".")
    for name in parents:
        config = config[name]
    with config.unlocked(), config.ignore_type():
        config[last] = value


def suggest(dataset: Dataset) -> list[tuple[str, Any, str]]:
    """Fields, values and reasons that make a market of a data set (our choices).

    The buyer keeps a fifth of the examples, 200 at most. Sellers are the natural clients, or twenty
    at most with 20 examples each. The threshold is a third of the way from guessing to perfection.
    """
    rows = dataset.num_train
    kept = int(np.clip(rows // 5, 2, 200))
    clients = 0 if dataset.clients is None else len(np.unique(dataset.clients))
    sellers = min(clients, MOST_SELLERS) if clients else int(np.clip((rows - kept) // 20, 2, 20))
    guess, name = baseline(dataset)
    tau = round(guess + (1 - guess) / 3, 3)
    small = rows < 1000
    why = "whole owners, grouped" if clients > sellers else "one for each owner"
    model = ("logreg" if small else "mlp") if dataset.kind != "text" else "text_bow"
    return [
        ("data.num_validation", kept, f"the buyer's share of {rows:,} training examples"),
        ("data.partition", "clients" if clients else "iid", "by owner" if clients else "no owners"),
        ("data.min_samples", 1, "every seller holds something"),
        ("spec.num_sellers", sellers, why if clients else "about 20 examples each or more"),
        ("spec.num_sampled", max(1, (sellers + 1) // 2), "half of the sellers a round"),
        ("spec.model", model, "a simple model for few examples" if small else "one hidden layer"),
        ("hparams.tau", tau, f"a third of the way from always guessing ({name} {guess:.2f}) to 1"),
    ]


def baseline(dataset: Dataset) -> tuple[float, str]:
    """What the metric of a constant answer is, and its name."""
    if not dataset.class_names:
        return 0.0, "R2"
    labels = np.asarray(dataset.train["labels"])
    if labels.ndim > 1:
        return 0.0, "accuracy"
    return float(np.bincount(labels).max() / len(labels)), "accuracy"
