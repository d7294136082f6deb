"""ByzFL as it is shipped on the MNIST MLP: `byzfl.benchmark.train.start_training`, untouched.

    python -m benchmarks.byzfl_shipped --data_dir=DIR --sample=7

What a user of ByzFL waits for, one configuration after another: torchvision reads, scales and
normalises every image when it is drawn, every training loads the data set and writes its files.
`byzfl_trainings.py` measures the same loop with all of that taken out. The cells are the same; the
test set is met twice here too. Imports are not timed.

Needs byzfl (0.0.11), torch and torchvision (a stub of it is not enough here).
"""

import argparse
import copy
import gzip
import itertools
import json
import pathlib
import statistics
import sys
import tempfile
import time
from typing import Any

from benchmarks.byzfl_trainings import ATTACKS, BATCH, ROUNDS, RULES, SELLERS, Cell, cells


def settings(cell: Cell, folder: pathlib.Path, number: int) -> dict[str, Any]:
    """The configuration that `start_training` takes."""
    from byzfl.benchmark.benchmark import default_config

    attack, numbers = ATTACKS[cell.attack]
    bad = 0 if attack == "NoAttack" else cell.byzantine
    needs_f = cell.rule in ("trimmed_mean", "krum")
    config = copy.deepcopy(default_config)
    config["benchmark_config"].update(
        device="cpu",
        nb_steps=ROUNDS,
        nb_training_seeds=1,
        nb_workers=SELLERS,
        nb_honest_clients=SELLERS - bad,
        f=bad,
        tolerated_f=cell.byzantine,
        size_train_set=1.0,
        data_distribution={"name": "iid", "distribution_parameter": None},
    )
    config["model"].update(name="fc_mnist", learning_rate=0.1)
    config["aggregator"] = {
        "name": RULES[cell.rule],
        "parameters": {"f": cell.byzantine} if needs_f else {},
    }
    config["pre_aggregators"] = []
    config["honest_clients"].update(momentum=0.0, weight_decay=0.0, batch_size=BATCH)
    config["attack"] = {"name": attack, "parameters": dict(numbers)}
    config["evaluation_and_results"].update(
        evaluation_delta=ROUNDS,  # before the first round and after the last
        store_per_client_metrics=False,
        data_folder=str(folder),
        results_directory=str(folder / f"results{number}"),
    )
    return config


def unpack(data_dir: str, folder: pathlib.Path) -> None:
    """The archives as torchvision keeps them."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    archives = sorted(pathlib.Path(data_dir, "mnist").glob("*-ubyte.gz"))
    if len(archives) != 4:
        sys.exit(f"The four MNIST archives (*-ubyte.gz) are not in {data_dir}/mnist.")
    for archive in archives:
        (raw / archive.stem).write_bytes(gzip.decompress(archive.read_bytes()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True, help="folder of the official data archives")
    parser.add_argument("--sample", type=int, default=7, help="trainings, at most 25")
    args = parser.parse_args()
    try:
        import torch
        from byzfl.benchmark.train import start_training
    except ImportError as error:
        sys.exit(f"This benchmark needs byzfl, torch and torchvision ({error}).")
    seconds = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        unpack(args.data_dir, folder)
        for number, cell in zip(itertools.count(), cells(args.sample)):
            started = time.perf_counter()
            start_training(settings(cell, folder, number))
            seconds.append(time.perf_counter() - started)
            print(
                f"{cell.rule:18s}{cell.attack:12s}{cell.byzantine:3d}{seconds[-1]:8.2f} s",
                flush=True,
            )
    facts = {"threads": torch.get_num_threads(), "trainings": len(seconds)}
    print(json.dumps({**facts, "whole": statistics.mean(seconds)}))


if __name__ == "__main__":
    main()
