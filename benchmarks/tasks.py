"""Every built-in task in a market without and with attackers, beside plain central training.

    python -m benchmarks.tasks --data_dir=DIR
    python -m benchmarks.tasks --data_dir=DIR --names=wine,trec --seeds=5

Central training is stochastic gradient descent with the market's rate, momentum and number of steps
on what all sellers hold together, each step on as many examples as a round of the market looks at.
Prints a table in Markdown; docs/tasks.md holds it.
"""

import importlib
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from absl import app, flags

from d2m_jax import make_market, parse_config
from d2m_jax.config.parsing import Config
from d2m_jax.data import FederatedData
from d2m_jax.market import collect, compiled, load_world
from d2m_jax.report.audit import markdown
from d2m_jax.tasks import Model, evaluate

NAMES = ["breast_cancer", "wine", "diabetes", "heart_disease", "trec", "shakespeare"]
FLAGS = flags.FLAGS
flags.DEFINE_list("names", NAMES, "files in configs/")
flags.DEFINE_string("data_dir", None, "folder of heart_disease, trec and shakespeare")
flags.DEFINE_integer("seeds", 3, "of the run", lower_bound=1)


def central(model: Model, config: Config, data: FederatedData, seed: int) -> float:
    """The metric on the test set after plain training on everything that the sellers hold."""
    learning, spec = config.hparams.learning, config.spec
    size = spec.num_sampled * spec.batch_size * spec.local_steps

    def step(carry: tuple[jax.Array, jax.Array], i: jax.Array):
        theta, speed = carry
        key = jax.random.fold_in(jax.random.key(seed), i)
        rows = data.rows[jax.random.randint(key, (size,), 0, data.rows.shape[0])]
        batch = model.prepare(jax.tree.map(lambda leaf: leaf[rows], data.pool), data.stats)
        speed = learning.momentum * speed + model.gradient(theta, batch, key)
        done = i / max(spec.num_rounds - 1, 1)
        rate = learning.lr * (1 - (1 - learning.lr_final) * done)
        return (theta - rate * speed, speed), None

    theta = model.init(jax.random.key(seed))
    carry, _ = jax.lax.scan(step, (theta, jnp.zeros_like(theta)), jnp.arange(spec.num_rounds))
    return float(evaluate(model, carry[0], data.test, data.stats)[0])


def row(name: str) -> dict[str, object]:
    """One task: its metric in three worlds, means over the seeds."""
    config = parse_config(importlib.import_module(f"configs.{name}").get_config())
    spec, who = config.spec, config.hparams.population
    dataset, data = load_world(config.data, spec.num_sellers, FLAGS.data_dir)
    market = make_market(spec, dataset)
    programs, started = compiled(market), time.perf_counter()
    found: dict[str, list[float]] = {"central": [], "no attackers": [], "attackers": []}
    slashed = excluded = 0
    for seed in range(FLAGS.seeds):
        found["central"].append(central(market.model, config, data, seed))
        for kind, count in (("no attackers", 0), ("attackers", who.num_byzantine)):
            hparams = config.hparams.replace(population=who.replace(num_byzantine=count))
            outcome = collect(programs, jax.random.key(seed), market.numbers(hparams), data)
            found[kind].append(float(outcome.test_metric))
            honest = ~np.asarray(outcome.roles.bad_seller)
            slashed += int((outcome.closing.slashed & honest).sum())
            excluded += int((~outcome.defence.active & honest).sum())
    return {
        "task": name,
        "model": market.model.name,
        "metric": market.model.metric.name,
        "sellers": f"{spec.num_sellers}, {who.num_byzantine} attack",
        **{kind: f"{np.mean(values):.3f}" for kind, values in found.items()},
        "honest slashed": slashed,
        "honest excluded": excluded,
        "seconds": f"{time.perf_counter() - started:.0f}",
    }


def main(argv: Sequence[str]) -> None:
    """Prints the table, a line at a time."""
    del argv
    for index, name in enumerate(FLAGS.names):
        lines = markdown(pd.DataFrame([row(name)])).splitlines()
        print("\n".join(lines if index == 0 else lines[2:]), flush=True)


if __name__ == "__main__":
    app.run(main)
