"""ByzFL's own training loop on the MNIST MLP, one configuration after another.

    python -m benchmarks.byzfl_trainings --data_dir=DIR          # one of each rule and attack
    python -m benchmarks.byzfl_trainings --data_dir=DIR --threads=1

The same cells as `configs/sweeps/mnist_1000.py`: 20 sellers, batch 25, 100 rounds, no momentum,
the test set after rounds 50 and 100. The loop is that of `byzfl/benchmark/train.py` (0.0.11, DSGD)
with its files left out and the images in memory, normalised once: there is no cheaper way to call
it. Its Byzantine clients train nothing, ours do. Loading, dealing and making the clients are not
timed; a short training before the first warms it up.

Needs byzfl (0.0.11) and torch beside this package. Where torchvision has no build, a package of
that name with modules `datasets` and `transforms` whose attributes take any argument will do.
"""

import argparse
import itertools
import json
import statistics
import sys
import time
from typing import Any, NamedTuple

import numpy as np

SELLERS, BATCH, ROUNDS, EVERY = 20, 25, 100, 50
BYZANTINE = (2, 4, 6, 8)
RULES: dict[str, str] = {
    "mean": "Average",
    "median": "Median",
    "trimmed_mean": "TrMean",
    "krum": "Krum",
    "geometric_median": "GeometricMedian",
}
ATTACKS: dict[str, tuple[str, dict[str, float]]] = {
    "none": ("NoAttack", {}),
    "sign_flip": ("SignFlipping", {}),
    "ipm": ("InnerProductManipulation", {"tau": 2.0}),
    "alie": ("ALittleIsEnough", {"tau": 1.5}),
    "label_flip": ("LabelFlipping", {}),
}


class Cell(NamedTuple):
    """One configuration."""

    rule: str
    attack: str
    byzantine: int


class Timing(NamedTuple):
    """What one training took, in seconds, and where it ended."""

    rounds: float
    evaluations: float
    accuracy: float


def cells(count: int) -> list[Cell]:
    """`count` cells spread evenly over rules and attacks; Byzantine counts take turns."""
    grid = list(itertools.product(RULES, ATTACKS))
    turns = itertools.cycle(BYZANTINE)
    every = [Cell(rule, attack, next(turns)) for rule, attack in grid]
    return [every[i * len(every) // count] for i in range(count)]


class Task(NamedTuple):
    """MNIST as torch tensors, and the two libraries."""

    torch: Any
    byzfl: Any
    images: Any  # [60000, 1, 28, 28] float32, normalised
    labels: Any
    test: Any  # DataLoader


def load_task(data_dir: str, threads: int) -> Task:
    try:
        import byzfl
        import torch
    except ImportError as error:
        sys.exit(f"This benchmark needs byzfl and torch ({error}); see its docstring.")
    from d2m_jax.data import load

    if threads:
        torch.set_num_threads(threads)
    mnist = load("mnist", data_dir)

    def ready(images: np.ndarray) -> Any:
        scaled = (np.asarray(images, np.float32) / 255 - 0.1307) / 0.3081
        return torch.from_numpy(scaled).reshape(-1, 1, 28, 28)

    def classes(labels: np.ndarray) -> Any:
        return torch.from_numpy(np.asarray(labels, np.int64))

    test = torch.utils.data.TensorDataset(
        ready(mnist.test["inputs"]), classes(mnist.test["labels"])
    )
    loader = torch.utils.data.DataLoader(test, batch_size=128)  # ByzFL's default
    train = ready(mnist.train["inputs"]), classes(mnist.train["labels"])
    return Task(torch, byzfl, *train, loader)


def train(task: Task, cell: Cell, num_rounds: int = ROUNDS) -> Timing:
    """One training: `num_rounds` rounds of DSGD, evaluated every `EVERY`."""
    torch, byzfl = task.torch, task.byzfl
    name, numbers = ATTACKS[cell.attack]
    bad = 0 if name == "NoAttack" else cell.byzantine
    flips = name == "LabelFlipping"
    common = {
        "model_name": "fc_mnist",
        "device": "cpu",
        "optimizer_name": "SGD",
        "learning_rate": 0.1,
        "weight_decay": 0.0,
        "milestones": [],
        "learning_rate_decay": 1.0,
    }
    clients = [
        byzfl.Client(
            {
                **common,
                "loss_name": "NLLLoss",
                "LabelFlipping": flips,
                "nb_labels": 10,
                "momentum": 0.0,
                "store_per_client_metrics": False,
                "training_dataloader": torch.utils.data.DataLoader(
                    torch.utils.data.TensorDataset(task.images[rows], task.labels[rows]),
                    batch_size=BATCH,
                    shuffle=True,
                ),
            }
        )
        for rows in torch.randperm(len(task.labels)).chunk(SELLERS)[: SELLERS - bad]
    ]
    needs_f = cell.rule in ("trimmed_mean", "krum")
    parameters = {"f": cell.byzantine} if needs_f else {}
    rule = {"name": RULES[cell.rule], "parameters": parameters}
    server = byzfl.Server(
        {**common, "test_loader": task.test, "aggregator_info": rule, "pre_agg_list": []}
    )
    liar = byzfl.ByzantineClient({"name": name, "f": bad, "parameters": dict(numbers)})

    evaluations, accuracy, started = 0.0, 0.0, time.perf_counter()
    for number in range(1, num_rounds + 1):
        for client in clients:
            client.compute_gradients()
        honest = [client.get_flat_gradients_with_momentum() for client in clients]
        seen = [client.get_flat_flipped_gradients() for client in clients] if flips else honest
        server.update_model_with_gradients(honest + liar.apply_attack(seen))
        state = server.get_dict_parameters()
        for client in clients:
            client.set_model_state(state)
        if number % EVERY == 0:
            before = time.perf_counter()
            accuracy = server.compute_test_accuracy()
            evaluations += time.perf_counter() - before
    return Timing(time.perf_counter() - started - evaluations, evaluations, accuracy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True, help="folder of the official data archives")
    parser.add_argument("--sample", type=int, default=25, help="trainings, at most 25")
    parser.add_argument("--threads", type=int, default=0, help="of torch (0: its default)")
    args = parser.parse_args()
    task = load_task(args.data_dir, args.threads)
    train(task, Cell("mean", "sign_flip", 4), num_rounds=5)
    timings = []
    for cell in cells(args.sample):
        one = train(task, cell)
        timings.append(one)
        print(
            f"{cell.rule:18s}{cell.attack:12s}{cell.byzantine:3d}{one.rounds:8.2f} s rounds"
            f"{one.evaluations:7.2f} s tests{one.accuracy:8.3f}",
            flush=True,
        )
    print(
        json.dumps(
            {
                "threads": task.torch.get_num_threads(),
                "trainings": len(timings),
                "rounds": statistics.mean(one.rounds for one in timings),
                "whole": statistics.mean(one.rounds + one.evaluations for one in timings),
            }
        )
    )


if __name__ == "__main__":
    main()
