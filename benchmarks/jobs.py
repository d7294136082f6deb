"""Several jobs as one program against as many markets of one job.

    python benchmarks/jobs.py
    python benchmarks/jobs.py --num_jobs=4 --num_rounds=20

The same sellers, nodes and rounds; the single markets run one after another, compiled once. Wall
and processor time of the second run of each, and of the first, which compiles.
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import dataclasses

import jax
from absl import app, flags

from d2m_jax import HParams, Spec, make_market
from d2m_jax.config.hparams import Learning, Money
from d2m_jax.config.population import Population
from d2m_jax.config.spec import DataSpec
from d2m_jax.data import load
from d2m_jax.market import deal

NUM_JOBS = flags.DEFINE_integer("num_jobs", 8, "side by side", lower_bound=2)
NUM_SELLERS = flags.DEFINE_integer("num_sellers", 64, "of all jobs", lower_bound=8)
NUM_NODES = flags.DEFINE_integer("num_nodes", 128, "of all jobs", lower_bound=1)
NUM_ROUNDS = flags.DEFINE_integer("num_rounds", 40, "of training", lower_bound=1)
MODEL = flags.DEFINE_string("model", "logreg", "what is learnt")


def main(_: list[str]) -> None:
    """Prints a line for each way."""
    jobs = NUM_JOBS.value
    several = Spec(
        model=MODEL.value,
        num_jobs=jobs,
        num_sellers=NUM_SELLERS.value,
        num_sampled=6,
        num_rounds=NUM_ROUNDS.value,
        eval_every=NUM_ROUNDS.value,
        batch_size=16,
        attack="sign_flip",
        num_buyers=2 * jobs,
        num_nodes=NUM_NODES.value,
    )
    money = Money(
        buyer_values=(900_000, 700_000) * jobs,
        buyer_shading_bps=(10_000,) * (2 * jobs),
        seller_stake=140_000,
        node_stake=20_000 * jobs,
        node_funds=25_000 * jobs,
    )
    who = Population(breadth=2, num_byzantine=4, num_colluding=8)
    hparams = HParams(money=money, population=who, learning=Learning(lr=0.3), attack={"scale": 5.0})
    dataset = load("digits")
    data = deal(dataset, DataSpec(partition="iid"), NUM_SELLERS.value)
    one = dataclasses.replace(several, num_jobs=1, num_buyers=2)
    alone = hparams.replace(
        population=who.replace(breadth=1),
        money=money.replace(buyer_values=(900_000, 700_000), buyer_shading_bps=(10_000,) * 2),
    )
    for label, spec, numbers, runs in (
        (f"{jobs} jobs, one program", several, hparams, 1),
        (f"{jobs} markets of one job", one, alone, jobs),
    ):
        market = make_market(spec, dataset)
        typed, run = market.numbers(numbers), jax.jit(market.run)
        for turn in ("first", "again"):
            start, busy = time.perf_counter(), time.process_time()
            for seed in range(runs):
                jax.block_until_ready(run(jax.random.key(seed), typed, data))
            took, used = time.perf_counter() - start, time.process_time() - busy
            print(f"{label:26} {turn}: {took:7.2f} s, processor {used:7.2f} s")


if __name__ == "__main__":
    app.run(main)
