"""How fair and how fast are the contribution measures? Eight sellers, everything against the truth.

    python benchmarks/contribution.py --worlds=5 --alpha=0.1
    python benchmarks/contribution.py --data=mnist --data_dir=DIR --model=mlp --worlds=1

Truth: the exact Shapley value of the test accuracy of 2^8 models trained on every coalition of
sellers. Measures: from the rounds of one honest training with 4 of 8 sellers sampled. Then the time
of exact and sampled values of one round with all eight. Minutes on two cores.
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from scipy.stats import spearmanr

from d2m_jax import sellers, tasks
from d2m_jax.config.spec import DataSpec
from d2m_jax.data import Dataset, FederatedData, load
from d2m_jax.incentives import CONTRIBUTIONS, Evidence, federated, sampled, values
from d2m_jax.incentives.coalitions import all_coalitions
from d2m_jax.market import deal

FLAGS = flags.FLAGS
flags.DEFINE_string("data", "digits", "data set")
flags.DEFINE_string("data_dir", None, "folder of the official archives")
flags.DEFINE_string("model", "logreg", "network")
flags.DEFINE_float("alpha", 0.5, "Dirichlet concentration", lower_bound=1e-3)
flags.DEFINE_integer("worlds", 5, "partitions", lower_bound=1)
flags.DEFINE_integer("rounds", 60, "rounds of training", lower_bound=1)
flags.DEFINE_integer("repeats", 5, "timed repetitions; the median counts", lower_bound=1)
SELLERS, SAMPLED, LR, SEEDS = 8, 4, 0.3, 4


class Lab:
    """Honest federated training of one world, as jitted functions of its data."""

    def __init__(self, model: tasks.Model, num_rounds: int):
        self.model, self.num_rounds = model, num_rounds
        self.retrained = jax.jit(self._retrained)
        self.measured = jax.jit(jax.vmap(self._measured, in_axes=(None, 0)))

    def updates(self, data: FederatedData, key, theta, who):
        """One gradient of each of these sellers."""
        return sellers.train_sellers(self.model, key, theta, data, who, batch_size=32)

    def trained(self, data: FederatedData, mask, key):
        """Test accuracy of a model trained on a coalition."""
        weights = jnp.where(mask, data.sizes, 0) / jnp.maximum(
            jnp.where(mask, data.sizes, 0).sum(), 1
        )

        def step(theta, i):
            rows = self.updates(data, jax.random.fold_in(key, i), theta, jnp.arange(SELLERS))
            return theta - LR * (weights @ rows), None

        theta, _ = jax.lax.scan(
            step, self.model.init(jax.random.key(0)), jnp.arange(self.num_rounds)
        )
        return tasks.evaluate(self.model, theta, data.test, data.stats)[0]

    def _retrained(self, data: FederatedData, key):
        one = lambda mask: self.trained(data, mask, key)  # noqa: E731
        return jax.lax.map(one, all_coalitions(SELLERS), batch_size=32)

    def evidence(self, data: FederatedData, theta, rows, previous):
        """What the market would know of the round."""
        batch = self.model.prepare(data.correction, data.stats)

        def losses_of(updates):
            return tasks.losses_of_candidates(self.model, theta, updates, LR, batch)

        even = jnp.full(len(rows), 1 / len(rows))
        return Evidence(
            accepted=jnp.ones(len(rows), bool),
            gain=jnp.maximum(LR * rows @ jax.grad(self.model.loss)(theta, batch), 0.0),
            mass=even,
            updates=rows,
            reputation=even,
            previous=previous,
            lr=LR,
            losses_of=losses_of,
            gradient_at=lambda update: jax.grad(self.model.loss)(theta - LR * update, batch),
        )

    def _measured(self, data: FederatedData, key):
        """Sums of the shares of every measure over the rounds, {name: [N]}."""

        def step(carry, i):
            theta, previous = carry
            draw, train = jax.random.split(jax.random.fold_in(key, i))
            who = jax.random.permutation(draw, SELLERS)[:SAMPLED]
            rows = self.updates(data, train, theta, who)
            evidence = self.evidence(data, theta, rows, previous)
            shares = {
                name: jnp.zeros(SELLERS).at[who].set(measure(evidence))
                for name, measure in CONTRIBUTIONS.items()
            }
            losses = evidence.losses_of(jnp.concatenate([rows, jnp.zeros_like(rows[:1])]))
            alone = evidence._replace(gain=losses[-1] - losses[:-1])
            shares["loss of the update alone"] = (
                jnp.zeros(SELLERS).at[who].set(CONTRIBUTIONS["gain"](alone))
            )
            shares["claimed size"] = jnp.zeros(SELLERS).at[who].set(data.sizes[who])
            return (theta - LR * rows.mean(0), rows.mean(0)), shares

        start = self.model.init(jax.random.key(0))
        _, shares = jax.lax.scan(step, (start, 0 * start), jnp.arange(self.num_rounds))
        return jax.tree.map(lambda x: x.sum(0), shares)


def world(dataset: Dataset, seed: int) -> FederatedData:
    return deal(dataset, DataSpec(alpha=FLAGS.alpha, seed=seed), SELLERS)


def fairness(lab: Lab, dataset: Dataset) -> None:
    table: dict[str, list] = {}
    for seed in range(FLAGS.worlds):
        data = world(dataset, seed)
        truth = np.asarray(values.shapley(lab.retrained(data, jax.random.key(seed))))
        truth = np.maximum(truth, 0) / np.maximum(truth, 0).sum()
        keys = jax.vmap(jax.random.key)(jnp.arange(SEEDS))
        for name, sums in jax.device_get(lab.measured(data, keys)).items():
            for scores in sums:
                share = scores / scores.sum()
                table.setdefault(name, []).append(
                    (
                        np.corrcoef(share, truth)[0, 1],
                        spearmanr(share, truth).statistic,
                        np.abs(share - truth).sum() / 2,
                        (share < 1e-4).mean(),
                    )
                )
    print(f"Income share against exact Shapley share by retraining, {FLAGS.worlds} worlds:")
    print("| measure | correlation | rank correlation | misplaced share | paid nothing |")
    print("|---|---|---|---|---|")
    for name, rows in table.items():
        corr, rank, misplaced, nothing = np.nanmean(rows, axis=0)
        print(f"| {name} | {corr:.2f} | {rank:.2f} | {misplaced:.2f} | {nothing:.0%} |")


def seconds(run, *args) -> float:
    jax.block_until_ready(run(*args))
    times = []
    for _ in range(FLAGS.repeats):
        start = time.perf_counter()
        jax.block_until_ready(run(*args))
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def speed(lab: Lab, dataset: Dataset) -> None:
    data = world(dataset, 0)
    key = jax.random.key(1)
    theta = lab.model.init(key)
    rows = jax.jit(lab.updates)(data, key, theta, jnp.arange(SELLERS))

    batch = lab.model.prepare(data.correction, data.stats)

    def game(theta, rows):
        evidence = lab.evidence(data, theta, rows, 0 * theta)
        return federated.round_utility(evidence.losses_of, rows, jnp.ones(SELLERS)), evidence

    def mixed(theta, rows):
        def losses(w):
            return tasks.losses_of_mixtures(lab.model, theta, rows, w, LR, batch)

        return federated.round_utility(None, rows, jnp.ones(SELLERS), mixed=losses)

    methods = {
        "exact Shapley": lambda u, e: values.shapley(u(all_coalitions(SELLERS))),
        "exact Shapley, first layer shared": lambda u, e: values.shapley(
            mixed(theta, rows)(all_coalitions(SELLERS))
        ),
        "exact Banzhaf": lambda u, e: values.banzhaf(u(all_coalitions(SELLERS))),
        "permutations (16)": lambda u, e: sampled.permutation_shapley(key, u, SELLERS, 16).values,
        "TMC (16)": lambda u, e: (
            sampled.truncated_shapley(key, u, SELLERS, 16, tolerance=0.05).values
        ),
        "GTG (16)": lambda u, e: (
            sampled.truncated_shapley(key, u, SELLERS, 16, tolerance=0.05, leading=True).values
        ),
        "Banzhaf MSR (64)": lambda u, e: sampled.banzhaf_msr(key, u, SELLERS, 64).values,
        "leave one out": lambda u, e: CONTRIBUTIONS["leave_one_out"](e),
        "path": lambda u, e: federated.path_value(e.gradient_at, rows / SELLERS, LR),
        "gain": lambda u, e: e.gain,
        "similarity": lambda u, e: CONTRIBUTIONS["similarity"](e),
    }
    exact = None
    print("\nOne round of eight sellers, against the exact Shapley value of the round:")
    print("| method | rank correlation | ms |\n|---|---|---|")
    for name, method in methods.items():
        run = jax.jit(lambda theta, rows, method=method: method(*game(theta, rows)))
        value = np.asarray(run(theta, rows))
        exact = value if exact is None else exact
        rank = spearmanr(value, exact).statistic
        print(f"| {name} | {rank:.2f} | {1e3 * seconds(run, theta, rows):.2f} |")

    one = jax.jit(lambda theta, rows, mask: game(theta, rows)[0](mask[None])[0])
    train = jax.jit(lab.trained)
    masks = [jnp.asarray(mask) for mask in np.asarray(all_coalitions(SELLERS))]
    eager = seconds(lambda: game(theta, rows)[0](masks[5][None])) * len(masks)
    exact_run = jax.jit(lambda theta, rows: game(theta, rows)[0](all_coalitions(SELLERS)))
    shared = jax.jit(lambda theta, rows: mixed(theta, rows)(all_coalitions(SELLERS)))
    loop = seconds(lambda: [one(theta, rows, mask).block_until_ready() for mask in masks])
    print(
        f"\n256 coalitions of a round one after another (compiled): {1e3 * loop:.1f} ms, "
        f"{loop / seconds(exact_run, theta, rows):.1f} times the vmapped ones, "
        f"{loop / seconds(shared, theta, rows):.1f} times those that share the first layer; "
        f"not compiled: {eager:.1f} s, {eager / seconds(exact_run, theta, rows):.0f} times"
    )
    few = seconds(lambda: [train(data, mask, key).block_until_ready() for mask in masks[:8]])
    both = seconds(lab.retrained, data, key)
    print(
        f"256 coalitions retrained one after another: {32 * few:.1f} s, "
        f"{32 * few / both:.1f} times the vmapped ones ({both:.1f} s)"
    )


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    dataset = load(FLAGS.data, FLAGS.data_dir)
    lab = Lab(tasks.make_model(FLAGS.model, dataset), FLAGS.rounds)
    fairness(lab, dataset)
    speed(lab, dataset)


if __name__ == "__main__":
    app.run(main)
