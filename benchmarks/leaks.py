"""What leaks of the sellers' examples, for every kind of task: a number and its interval of 95 %.

    python -m benchmarks.leaks --data_dir=DIR      images, a table and texts; DIR holds trec/
    python -m benchmarks.leaks --tasks digits breast_cancer

Each task is trained by the pure functions of the sellers, 10 of 20 a round, once in the clear and
once with clipped and noised gradients of single examples. Membership by the model: losses of the
final model on sellers' examples and on the test set. By an update: the cosine of single gradients
with one seller's first update, on its batch and on as many other sellers' examples. Content: an
image or a row by inversion of the gradient of one example (mean correlation and its interval over
examples), a text by the words whose parameters an update of one text moves (AUC of its words
against all others). About ten minutes on two cores, most of them for texts with noise.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.config.spec import DataSpec
from d2m_jax.core.dataset import num_examples
from d2m_jax.core.types import Batch, Key
from d2m_jax.data import FederatedData, load
from d2m_jax.market import deal
from d2m_jax.privacy import dp, probes
from d2m_jax.sellers import train_sellers
from d2m_jax.tasks import Model, evaluate, make_model
from d2m_jax.tasks.problem import problem_of

SELLERS, SAMPLED, BATCH, DELTA = 20, 10, 16, 1e-5
Array = jax.Array


class World(NamedTuple):
    """One task."""

    model: Model
    data: FederatedData
    rate: float
    rounds: int
    clip: float
    vocabulary: int


TASKS: dict[str, tuple[str, float, int, float, int]] = {
    # network, rate, rounds, bound on a gradient, examples (0: all)
    "digits": ("mlp", 0.3, 150, 4.0, 1200),
    "breast_cancer": ("table_mlp", 0.1, 150, 2.0, 0),
    "trec": ("text_bow", 1.0, 400, 0.3, 1200),
}


def world(name: str, data_dir: str | None) -> World:
    """The task of that name, its examples dealt evenly."""
    network, rate, rounds, clip, count = TASKS[name]
    dataset = load(name, data_dir)
    few = DataSpec(name=name, partition="iid", num_validation=40, max_train=count, min_samples=5)
    data = deal(dataset, few, SELLERS)
    model = make_model(network, dataset)
    return World(model, data, rate, rounds, clip, problem_of(dataset).vocabulary)


def updates_of(task: World, key: Key, theta: Array, who: Array, noise: float | None) -> Array:
    """What sellers send: in the clear where there is no noise, else as `privacy="example"`."""
    if noise is None:
        sent: Array = train_sellers(task.model, key, theta, task.data, who, batch_size=BATCH)
        return sent
    return dp.private_sellers(
        task.model, key, theta, task.data, who, batch_size=BATCH, clip=task.clip, noise=noise
    )


def trained(task: World, key: Key, noise: float | None) -> Array:
    """The model after all rounds, [D]."""

    @jax.jit
    def run(keys: Key, data: FederatedData) -> Array:
        def step(theta: Array, key: Key) -> tuple[Array, None]:
            who_key, work_key = jax.random.split(key)
            who = jax.random.permutation(who_key, SELLERS)[:SAMPLED]
            rows = updates_of(task._replace(data=data), work_key, theta, who, noise)
            return theta - task.rate * rows.mean(0), None

        return jax.lax.scan(step, task.model.init(jax.random.key(0)), keys)[0]

    return run(jax.random.split(key, task.rounds), task.data)


def first(batch: Batch, count: int, start: int = 0) -> Batch:
    """So many examples of a batch."""
    return jax.tree.map(lambda leaf: leaf[start : start + count], batch)


def of_seller(task: World, seller: int, count: int) -> Batch:
    """The first examples of a seller, as the model takes them."""
    size = int(task.data.sizes[seller])
    raw = task.data.examples_of(jnp.int32(seller), jnp.arange(min(count, size)))
    return task.model.prepare(raw, task.data.stats)


def by_model(task: World, theta: Array) -> probes.Membership:
    """Losses of sellers' examples and of the test set."""
    count = min(num_examples(task.data.pool), num_examples(task.data.test), 600)

    def losses(batch: Batch) -> Array:
        whole = task.model.prepare(first(batch, count), task.data.stats)
        return task.model.losses(theta, whole)

    return probes.membership(losses(task.data.pool), losses(task.data.test))


def by_update(task: World, key: Key, noise: float | None) -> probes.Membership:
    """Who was in the batch of one gradient step, over all sellers, from their first updates."""
    theta, gradient = task.model.init(jax.random.key(0)), task.model.gradient

    @jax.jit
    def scores(key: Key, mine: Batch, others: Batch) -> tuple[Array, Array]:
        if noise is None:
            sent = gradient(theta, mine)
        else:
            everyone = jnp.ones(num_examples(mine), bool)
            sent = dp.private_gradient(
                key, gradient, theta, mine, everyone,
                batch_size=num_examples(mine), clip=task.clip, noise=noise,
            )  # fmt: skip
        return tuple(probes.likeness(gradient, theta, sent, batch) for batch in (mine, others))

    half = min(BATCH, int(task.data.sizes.min()))
    batches = [of_seller(task, seller, half) for seller in range(SELLERS)]
    found = [
        scores(jax.random.fold_in(key, seller), batches[seller], batches[(seller + 1) % SELLERS])
        for seller in range(SELLERS)
    ]
    inside, outside = (jnp.concatenate(part) for part in zip(*found))
    return probes.membership(-inside, -outside)


def content(task: World, key: Key, noise: float | None, count: int) -> tuple[float, float, float]:
    """What one gradient of one example gives away: mean and interval over examples."""
    theta, gradient = task.model.init(jax.random.key(0)), task.model.gradient

    @jax.jit
    def one(key: Key, example: Batch) -> Array:
        noise_key, key = jax.random.split(key)
        sent = gradient(theta, example)
        if noise is not None:
            sent = dp.private_update(noise_key, sent, task.clip, noise)
        truth = example["inputs"][0]
        if not task.vocabulary:
            found = probes.invert_gradient(
                key, gradient, theta, sent, example["labels"][0], truth.shape, steps=200
            )
            return probes.correlation(found.example, truth)
        traces = probes.word_traces(gradient, theta, sent, example, task.vocabulary)
        inside = jnp.zeros(task.vocabulary, bool).at[truth].set(True).at[0].set(False)
        more = traces[None, :] > traces[:, None]
        even = traces[None, :] == traces[:, None]
        pairs = inside[None, :] & ~inside[:, None] & (jnp.arange(task.vocabulary) > 0)[:, None]
        return jnp.where(pairs, more + 0.5 * even, 0).sum() / pairs.sum()

    pool = task.model.prepare(first(task.data.pool, count), task.data.stats)
    values = np.array(
        [float(one(jax.random.fold_in(key, i), first(pool, 1, i))) for i in range(count)]
    )
    half = 1.96 * values.std(ddof=1) / np.sqrt(count)
    return values.mean(), values.mean() - half, values.mean() + half


def said(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def row(name: str, task: World, noise: float | None, examples: int) -> str:
    """One line of the table."""
    key = jax.random.key(7)
    theta = trained(task, key, noise)
    metric = float(evaluate(task.model, theta, task.data.test, task.data.stats)[0])
    model, update = by_model(task, theta), by_update(task, key, noise)
    advantages = [said(m.advantage, m.low, m.high) for m in (model, update)]
    inside = said(*content(task, key, noise, examples))
    cells = [name, "none" if noise is None else f"{noise:g}", f"{100 * metric:.1f}", *advantages]
    return "| " + " | ".join([*cells, inside]) + " |"


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, a line at a time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--data_dir", default=None, help="folder of trec/")
    parser.add_argument("--noise", nargs="*", type=float, default=[1.0], help="multipliers")
    parser.add_argument("--examples", type=int, default=12, help="to reconstruct")
    args = parser.parse_args(argv)
    print(
        "| task | noise | test metric, % | membership by the model, advantage | by an update, "
        "advantage | content of one gradient |\n|---|---|---|---|---|---|"
    )
    for name in args.tasks:
        task = world(name, args.data_dir)
        for noise in (None, *args.noise):
            print(row(name, task, noise, args.examples), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
