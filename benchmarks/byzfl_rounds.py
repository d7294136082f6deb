"""Whole training rounds against ByzFL (torch), on the same machine, in one process.

    python -m benchmarks.byzfl_rounds                       # MLP and CNN
    python -m benchmarks.byzfl_rounds --models cnn --repeats 7

One round: 16 honest sellers take a batch of 25 and its gradient, average it into their momentum
(0.9), 4 Byzantine ones send the negated mean, the rule aggregates the 20, the server steps. Both
sides train on the same random images (speed does not depend on them), float32, ByzFL with torch's
default threads. `ours` is exactly that round, inside `lax.scan`. `market` is the round of a whole
market on top of it: all 20 sellers train, f is traced, CONE votes, nodes are paid, the ledger is
kept. ByzFL deals its batches from a shuffle of each epoch, we draw with replacement. The sides are
timed in turns; figures are medians of milliseconds per round; neither evaluates anything (the
market: 100 images per 10 rounds), compilation is apart.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import HParams, Spec, as_arrays, make_market, sellers, tasks
from d2m_jax import aggregation as agg
from d2m_jax.attacks import ATTACKS
from d2m_jax.config.population import Population
from d2m_jax.data import FederatedData, seller_rows
from d2m_jax.tasks import Problem

HONEST, BAD, BATCH, EACH, BETA, RATE = 16, 4, 25, 375, 0.9, 0.1
MODELS = {"mlp": ("mlp", "fc_mnist", 40), "cnn": ("mnist_cnn", "cnn_mnist", 10)}
IMAGES = Problem("images", (28, 28, 1), np.dtype(np.uint8), num_classes=10)
Rule = Callable[[jax.Array], jax.Array]
# Ours, the pre-aggregators and the rule of ByzFL, and the ratios aimed at (MLP, CNN).
RULES: dict[str, tuple[Rule, tuple[str, ...], str, tuple[float, float]]] = {
    "mean": (agg.mean, (), "Average", (5, 1.5)),
    "trimmed_mean": (lambda x: agg.trimmed_mean(x, BAD), (), "TrMean", (10, 3)),
    "nnm + trimmed_mean": (
        lambda x: agg.trimmed_mean(agg.nnm(x, BAD)[0], BAD),
        ("nnm",),
        "TrMean",
        (10, 4),
    ),
}


def world() -> FederatedData:
    """20 sellers with 375 random images each."""
    rng = np.random.default_rng(0)
    total = EACH * (HONEST + BAD)
    images = jnp.asarray(rng.integers(0, 256, (total, 28, 28, 1), dtype=np.uint8))
    labels = jnp.asarray(rng.integers(0, 10, total), jnp.int32)
    pool = {"inputs": images, "labels": labels}
    few, none = (jax.tree.map(lambda leaf, n=n: leaf[:n], pool) for n in (100, 0))
    return FederatedData(
        pool=pool,
        rows=jnp.arange(total, dtype=jnp.int32),
        starts=jnp.arange(0, total, EACH, dtype=jnp.int32),
        sizes=jnp.full(HONEST + BAD, EACH, jnp.int32),
        stats={"mean": jnp.full(1, 127.5), "std": jnp.full(1, 73.0)},
        correction=none,
        verdict=few,
        root=none,
        test=few,
    )


def our_rounds(model: tasks.Model, rule: Rule, data: FederatedData, count: int) -> Any:
    """(theta, momentum [16, D]) after `count` rounds, jitted."""
    honest = jnp.arange(HONEST)

    def body(state: Any, key: Any) -> Any:
        theta, momentum = state
        updates = sellers.train_sellers(model, key, theta, data, honest, batch_size=BATCH)
        momentum, sent = sellers.ema(momentum, None, updates, BETA)
        liars = -jnp.full((1, HONEST), 1 / HONEST) @ sent  # one row, as many times as liars
        rows = jnp.concatenate([sent, jnp.broadcast_to(liars, (BAD, liars.shape[1]))])
        return (theta - RATE * rule(rows), momentum), None

    @jax.jit
    def run(state: Any, seed: jax.Array) -> Any:
        return jax.lax.scan(body, state, jax.random.split(jax.random.key(seed), count))[0]

    theta = model.init(jax.random.key(0))
    return run, (theta, jnp.zeros((HONEST, theta.shape[0])))


def market_rounds(name: str, pre: tuple[str, ...], rule: str, data: FederatedData) -> Any:
    """10 rounds of a market and an evaluation on 100 images, jitted."""
    spec = Spec(
        model=name,
        num_sampled=HONEST + BAD,
        num_rounds=10,
        eval_every=10,
        batch_size=BATCH,
        client_momentum="ema",
        sampler="uniform",
        aggregator=rule,
        pre_aggregators=pre,
        attack="sign_flip_mean",
        contribution="count",
    )
    numbers = as_arrays(
        HParams(
            population=Population(num_byzantine=BAD),
            attack=ATTACKS["sign_flip_mean"].numbers,
        )
    )
    market = make_market(spec, IMAGES)
    state = jax.jit(market.init)(jax.random.key(0), numbers, data)
    rounds = jax.jit(market.rounds)
    return lambda: rounds(state, numbers, data)


def their_round(torch: Any, byzfl: Any, model: str, pre: Any, rule: str, data: Any) -> Any:
    """One round of ByzFL's clients and server."""
    pool, parts = jax.device_get(data.pool), seller_rows(data)
    images = torch.from_numpy(np.array(pool["inputs"], np.float32).transpose(0, 3, 1, 2)) / 255
    labels = torch.from_numpy(np.array(pool["labels"], np.int64))
    common = {
        "model_name": model,
        "device": "cpu",
        "optimizer_name": "SGD",
        "learning_rate": RATE,
        "loss_name": "NLLLoss",
        "weight_decay": 0.0,
        "milestones": [],
        "learning_rate_decay": 1.0,
        "nb_labels": 10,
        "momentum": BETA,
        "store_per_client_metrics": False,
        "LabelFlipping": False,
    }

    def loader(rows: Any) -> Any:
        pairs = torch.utils.data.TensorDataset(images[rows], labels[rows])
        return torch.utils.data.DataLoader(pairs, batch_size=BATCH, shuffle=True)

    clients = [
        byzfl.Client({**common, "training_dataloader": loader(parts[i])}) for i in range(HONEST)
    ]
    f = {"f": BAD}
    server = byzfl.Server(
        {
            **common,
            "test_loader": loader(np.arange(100)),
            "aggregator_info": {"name": rule, "parameters": {} if rule == "Average" else f},
            "pre_agg_list": [{"name": "NNM", "parameters": f}] * len(pre),
        }
    )
    liar = byzfl.ByzantineClient({"name": "SignFlipping", "f": BAD, "parameters": {}})

    def play() -> None:
        for client in clients:
            client.compute_gradients()
        sent = [client.get_flat_gradients_with_momentum() for client in clients]
        server.update_model_with_gradients(sent + liar.apply_attack(sent))
        state = server.get_dict_parameters()
        for client in clients:
            client.set_model_state(state)

    return play


def compare(name: str, rule: str, data: FederatedData, args: Any, modules: Any) -> None:
    """One line: both sides and the market, the ratios, the aim, compilation."""
    ours_name, theirs_name, count = MODELS[name]
    ours, pre, theirs, aims = RULES[rule]
    model = tasks.make_model(ours_name, IMAGES)
    start = time.perf_counter()
    run, state = our_rounds(model, ours, data, count)
    jax.block_until_ready(run(state, 0))
    compile_s = time.perf_counter() - start
    market = market_rounds(ours_name, pre, rule.split(" + ")[-1], data)
    jax.block_until_ready(market())
    play = their_round(*modules, theirs_name, pre, theirs, data)
    play()
    times: dict[str, list[float]] = {"ours": [], "market": [], "ByzFL": []}
    for repeat in range(args.repeats):
        start = time.perf_counter()
        jax.block_until_ready(run(state, repeat))
        times["ours"].append((time.perf_counter() - start) / count)
        start = time.perf_counter()
        jax.block_until_ready(market())
        times["market"].append((time.perf_counter() - start) / 10)
        for _ in range(4):
            start = time.perf_counter()
            play()
            times["ByzFL"].append(time.perf_counter() - start)
    t = {key: 1e3 * statistics.median(values) for key, values in times.items()}
    aim = aims[list(MODELS).index(name)]
    ratio = t["ByzFL"] / t["ours"]
    print(
        f"{name:5s}{rule:20s}{t['ByzFL']:9.1f}{t['ours']:9.2f}{t['market']:9.2f}{ratio:8.1f}"
        f"{aim:6.1f}{'  ' if ratio >= aim else ' !'}{t['ByzFL'] / t['market']:9.1f}"
        f"{compile_s:9.1f}",
        flush=True,
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=",".join(MODELS), help="names, separated by commas")
    parser.add_argument("--rules", default=",".join(RULES), help="names, separated by commas")
    parser.add_argument("--repeats", type=int, default=9, help="timed turns")
    args = parser.parse_args(argv)
    try:
        import byzfl
        import torch
    except ImportError as error:
        sys.exit(f"This benchmark needs byzfl and torch beside d2m_jax ({error}).")
    print(
        f"jax {jax.__version__} on {jax.devices()[0].device_kind}, torch {torch.__version__} with "
        f"{torch.get_num_threads()} threads; medians of {args.repeats} turns, ms a round"
    )
    print(
        "model rule                    ByzFL     ours   market   ratio   aim    market's  compile"
    )
    data = world()
    for name in args.models.split(","):
        for rule in args.rules.split(","):
            compare(name, rule, data, args, (torch, byzfl))


if __name__ == "__main__":
    main()
