"""What the public sampling mass tells of sellers' data, and what hides it.

    python -m benchmarks.mass_leaks                 about three minutes on two cores
    python -m benchmarks.mass_leaks --worlds=8 --rounds=20

In every world half of 20 sellers have a property: a class that the others lack, two classes instead
of ten, a third of the labels at random, or one example with a wrong label. Digits, logistic
regression, 10 of 20 sellers a round. An observer sees the mass of every seller after each tenth of
the rounds, learns on half of the worlds which sellers have the property (a logistic regression on
log N p) and says so on the other half, and the other way round. Advantage: true minus false
positive rate at the threshold that was best where it learnt, mean over worlds and interval of 95 %.

Views: the exact mass; a coarse one from which sellers are drawn, in powers of 4 (sampler
"coarse_osmd", and `sampling.coarse` of any other); the draws alone, with the mass hidden; the exact
mass where sellers clip and noise their updates (`spec.privacy="update"`, multiplier 0.3).
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.linear_model import LogisticRegression

from d2m_jax.core.dataset import Dataset
from d2m_jax.core.types import Batch, Key
from d2m_jax.data import load
from d2m_jax.privacy.dp import private_update
from d2m_jax.sampling import (
    Context,
    Defence,
    DefenceParams,
    coarse,
    make_defence,
)
from d2m_jax.tasks import Model, make_model

SELLERS, SAMPLED, HELD, BATCH, VALIDATION = 20, 10, 50, 16, 150
PROPERTIES = ("a class", "two classes", "noisy labels", "one wrong label")
SAMPLERS = ("osmd", "corrected_osmd")
LOOKS = 10  # of the observer
RATE, CLIP, NOISE = 0.3, 1.0, 0.3
Array = jax.Array


class Pool(NamedTuple):
    """Digits."""

    train: Batch  # [T, ...], prepared
    validation: Batch
    test: Batch


class Seen(NamedTuple):
    """What one world shows."""

    mass: Array  # [R, N]
    drawn: Array  # [R, N], how often so far
    accuracy: Array  # []


def pool_of(dataset: Dataset, model: Model) -> Pool:
    """The training set less the buyer's examples, these, and the test set."""

    def ready(batch: Batch, start: int, stop: int | None) -> Batch:
        cut = jax.tree.map(lambda leaf: jnp.asarray(leaf[start:stop]), batch)
        return model.prepare(cut, dataset.stats)

    train = dataset.train
    return Pool(
        ready(train, VALIDATION, None), ready(train, 0, VALIDATION), ready(dataset.test, 0, None)
    )


def holdings(key: Key, labels: Array, has: Array, kind: Array) -> tuple[Array, Array]:
    """Rows of the pool [N, M] and labels [N, M] of sellers of which some have a property."""
    draw_key, class_key, noise_key, label_key = jax.random.split(key, 4)
    wish = jax.random.uniform(class_key, (SELLERS, 10))
    two = jnp.where(wish >= jnp.sort(wish)[:, -2:-1], 0.0, -1e9)
    lacks = jnp.where(jnp.arange(10) == 0, -1e9, 0.0)
    likes = jnp.where(jnp.arange(10) == 0, 2.0, 0.0)  # about two fifths of its examples
    plain = jnp.zeros(10)
    with_it = jnp.stack([jnp.broadcast_to(likes, (SELLERS, 10)), two, *2 * [0 * two]])[kind]
    without = jnp.stack([lacks, plain, plain, plain])[kind]
    taste = jnp.where(has[:, None], with_it, without[None])
    scores = taste[:, labels] + jax.random.gumbel(draw_key, (SELLERS, labels.size))
    rows = jax.lax.top_k(scores, HELD)[1]
    own, other = labels[rows], jax.random.randint(label_key, rows.shape, 0, 10)
    third = jax.random.bernoulli(noise_key, 1 / 3, rows.shape)
    one = jnp.arange(HELD)[None] == 0
    wrong = has[:, None] & jnp.where(kind == 2, third, (kind == 3) & one)
    return rows, jnp.where(wrong, jnp.where(kind == 3, (own + 5) % 10, other), own)


def play(
    model: Model, defence: Defence, rounds: int, pool: Pool, noise: Array, kind: Array, key: Key
) -> tuple[Array, Seen]:
    """One world: who has the property [N], and what is seen."""
    has_key, hold_key, key = jax.random.split(key, 3)
    has = jax.random.permutation(has_key, SELLERS) < SELLERS // 2
    rows, labels = holdings(hold_key, pool.train["labels"], has, kind)
    params = DefenceParams(horizon=jnp.float32(rounds))
    lam = jnp.full(SELLERS, 1 / SELLERS)

    def update(key: Key, theta: Array, seller: Array) -> Array:
        batch_key, noise_key = jax.random.split(key)
        places = jax.random.randint(batch_key, (BATCH,), 0, HELD)
        inputs = pool.train["inputs"][rows[seller, places]]
        sent = model.gradient(theta, {"inputs": inputs, "labels": labels[seller, places]})
        return jax.lax.cond(
            noise > 0, lambda: private_update(noise_key, sent, CLIP, noise), lambda: sent
        )

    def one(carry, index):  # type: ignore[no-untyped-def]
        theta, state, drawn = carry
        draw_key, work_key, rule_key = jax.random.split(jax.random.fold_in(key, index), 3)
        chosen = defence.sample(draw_key, state, jnp.ones(SELLERS, bool), params)
        keys = jax.random.split(work_key, SAMPLED)
        sent = jax.vmap(update, (0, None, 0))(keys, theta, chosen.indices)

        def losses_of(updates: Array) -> Array:
            return jax.lax.map(lambda u: model.loss(theta - RATE * u, pool.validation), updates)

        context = Context(
            lam, jnp.float32(RATE), index, jnp.int32(0), losses_of,
            lambda: jax.grad(model.loss)(theta, pool.validation),
        )  # fmt: skip
        total, state, _ = defence.aggregate(
            rule_key, state, chosen, sent, chosen.present, context, params
        )
        drawn = drawn.at[chosen.indices].add(chosen.present.astype(jnp.float32))
        return (theta - RATE * total, state, drawn), (state.p, drawn)

    start = model.init(jax.random.key(0)), defence.init(SELLERS, model.num_params, lam)
    (theta, _, _), seen = jax.lax.scan(
        one, (*start, jnp.zeros(SELLERS)), jnp.arange(rounds, dtype=jnp.int32)
    )
    right = model.apply(theta, pool.test).argmax(-1) == pool.test["labels"]
    return has, Seen(*seen, right.astype(jnp.float32).mean())


def advantage(features: np.ndarray, has: np.ndarray) -> tuple[float, float, float]:
    """Of an observer with features [W, N, F] of sellers [W, N]: mean over worlds and interval."""
    fold, gains = np.arange(len(has)) % 2 == 0, np.zeros(len(has))
    for train in (fold, ~fold):
        known, truth = features[train].reshape(-1, features.shape[-1]), has[train].ravel()
        middle, spread = known.mean(0), known.std(0) + 1e-9
        observer = LogisticRegression(C=0.3, max_iter=500).fit((known - middle) / spread, truth)

        def score(x: np.ndarray, observer=observer, middle=middle, spread=spread) -> np.ndarray:
            return observer.decision_function((x - middle) / spread)

        found = score(known)
        cuts = np.unique(found)[:: max(len(found) // 200, 1)]
        best = cuts[np.argmax([(found >= c)[truth].mean() - (found >= c)[~truth].mean()
                               for c in cuts])]  # fmt: skip
        for world in np.flatnonzero(~train):
            said = score(features[world]) >= best
            gains[world] = said[has[world]].mean() - said[~has[world]].mean()
    half = 1.96 * gains.std(ddof=1) / np.sqrt(len(gains))
    return gains.mean(), gains.mean() - half, gains.mean() + half


def looks(values: np.ndarray, rounds: int) -> np.ndarray:
    """[W, R, N] at the observer's times: [W, N, LOOKS]."""
    places = np.linspace(rounds / LOOKS, rounds, LOOKS).astype(int) - 1
    return values[:, np.unique(places)].transpose(0, 2, 1)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table: a line for each sampler and property."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--samplers", nargs="*", default=SAMPLERS, choices=SAMPLERS)
    args = parser.parse_args(argv)
    if args.worlds < 4 or args.rounds < LOOKS:
        parser.error(f"at least 4 worlds and {LOOKS} rounds are needed")
    dataset = load("digits")
    model = make_model("logreg", dataset)
    pool = pool_of(dataset, model)
    keys = jax.random.split(jax.random.key(1), args.worlds)
    heads = ["exact mass", "coarse mass", "draws alone", "exact mass, noised updates"]
    print("| sampler | half of the sellers have | " + " | ".join(heads) + " | accuracy, % |")
    print("|---|---|" + "---|" * (len(heads) + 1))
    for name in args.samplers:
        plain = make_defence(name, num_sampled=SAMPLED, horizon=args.rounds)
        runs = [
            jax.jit(jax.vmap(functools.partial(play, model, made, args.rounds),
                             in_axes=(None, None, None, 0)))
            for made in (plain, coarse(plain))
        ]  # fmt: skip
        for kind, what in enumerate(PROPERTIES):
            shown = [
                jax.device_get(run(pool, jnp.float32(noise), jnp.int32(kind), keys))
                for run, noise in ((runs[0], 0.0), (runs[1], 0.0), (runs[0], NOISE))
            ]
            cells, metric = [], []
            for (has, seen), parts in zip(shown, (("mass", "drawn"), ("mass",), ("mass",))):
                found = {part: looks(getattr(seen, part), args.rounds) for part in parts}
                found["mass"] = np.log(np.maximum(SELLERS * found["mass"], 1e-6))
                cells.append([advantage(found[part], has) for part in parts])
                metric.append(f"{100 * seen.accuracy.mean():.1f}")
            (exact, draws), (rough,), (noised,) = cells
            said = [f"{m:.2f} ({a:.2f} to {b:.2f})" for m, a, b in (exact, rough, draws, noised)]
            print(
                f"| {name.replace('_', ' ')} | {what} | {' | '.join(said)} | "
                f"{', '.join((metric[0], metric[1], metric[2]))} |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
