"""The robustness coefficient of every rule, measured: the worst of attacks and of a search.

    python -m benchmarks.robustness                      all rules, 10 rows of which 1 to 4 are bad
    python -m benchmarks.robustness --rules krum martfl --steps 50
    python -m benchmarks.robustness --rules krum --bound 40    and the white-box attack, 40 steps

For every rule and f the largest ratio ||R(x) - mean_H||^2 / var_H seen: clouds of honest rows,
each with sign flips, ALIE, IPM, noise, sparse and far-away rows of several strengths or the median
row, and then a random search that moves the Byzantine rows from the four worst starts; with
--bound also the white-box attack, which starts from every attack of the registry, at five lengths.
What is measured is a lower bound of kappa; theorems give upper bounds. Rules that lean on the
buyer get its update (the honest mean with noise) and a loss that is least at the honest mean.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax.aggregation import AGGREGATORS, make_aggregator
from d2m_jax.aggregation.robustness import deviation_ratio, least_coefficient, promised
from d2m_jax.attacks import ATTACKS, AttackContext
from d2m_jax.attacks.whitebox import Aim

N, D = 10, 20
ROUNDS = 3  # of a rule with memory, on the same rows
FORGERS = 12  # kinds of start
RADII = (0.3, 1.0, 3.0, 10.0, 100.0)  # of the white-box attack, in mean honest lengths
Array = jax.Array


def forged(kind: Array, key: Array, honest: Array, bad: Array) -> Array:
    """Rows `[N, D]` whose Byzantine ones are a known attack or noise, chosen by `kind`."""
    good = ~bad
    count = good.sum()
    mean = jnp.where(good[:, None], honest, 0).sum(0) / count
    std = jnp.sqrt(jnp.where(good[:, None], (honest - mean) ** 2, 0).sum(0) / count)
    first, second = jax.random.normal(key, (2, *honest.shape))
    axis = jax.nn.one_hot(jnp.arange(len(honest)), honest.shape[1]) * 1e4
    kinds = jnp.stack(
        [
            jnp.broadcast_to(mean - 1.5 * std, honest.shape),
            jnp.broadcast_to(jnp.median(honest, axis=0), honest.shape),
            jnp.broadcast_to(mean - 3.0 * std, honest.shape),
            jnp.broadcast_to(-mean, honest.shape),
            jnp.broadcast_to(-0.1 * mean, honest.shape),
            jnp.broadcast_to(10.0 * mean, honest.shape),
            jnp.broadcast_to(
                mean + jnp.linalg.norm(std) * first[0] / honest.shape[1] ** 0.5, honest.shape
            ),
            mean + std * first,
            mean + 5 * std * second,
            jnp.broadcast_to(-1e4 * jnp.ones_like(mean), honest.shape),
            axis.astype(honest.dtype),
            10.0 * honest,
        ]
    )
    return jnp.where(bad[:, None], kinds[kind], honest)


def aggregate_of(name: str, pre: Sequence[str] = ()) -> Any:
    """(rows, good, f, key) -> aggregate: a rule as a market calls it, with what a buyer gives."""
    rule = make_aggregator(name, pre)

    def run(rows: Array, good: Array, f: Array, key: Array) -> Array:
        mean = jnp.where(good[:, None], rows, 0).sum(0) / good.sum()

        def losses_of(updates: Array) -> Array:
            return jnp.sum((updates - mean[None]) ** 2, axis=-1)

        spread = jnp.sqrt(jnp.where(good[:, None], (rows - mean) ** 2, 0).sum(0) / good.sum())
        root = mean + spread / 3 * jax.random.normal(key, mean.shape)
        given = {"indices": jnp.arange(N), "key": key, "root": root, "losses_of": losses_of}
        given["losses"] = losses_of(rows)
        given = {use: given[use] for use in rule.uses if use != "layers"}
        memory = rule.init(N, D)
        rounds = ROUNDS if jax.tree.leaves(memory) else 1

        def one(memory: Any, _: None) -> tuple[Any, Array]:
            total, memory = rule.apply(memory, rows, f, jnp.ones(N, bool), **given)
            return memory, total

        return jax.lax.scan(one, memory, length=rounds)[1][-1]

    return run


def cloud(seed: Array, f: Array) -> Array:
    """Honest rows; in every other cloud f of them are far from the rest, which hurts most."""
    scale, noise, shift = jax.random.split(jax.random.key(seed), 3)
    spread = jnp.exp(jax.random.normal(scale, (D,)))
    rows = 2 * jax.random.uniform(shift, ()) + spread * jax.random.normal(noise, (N, D))
    lonely = (jnp.arange(N) >= N - f) & (seed % 2 == 1)
    return jnp.where(
        lonely[:, None], 10 * spread + 0.1 * rows, jnp.where(seed % 2 == 1, 0.1, 1) * rows
    )


@jax.jit
def start(seed: Array, kind: Array, f: Array) -> Array:
    """A cloud whose Byzantine rows are forged."""
    return forged(kind, jax.random.key(seed + 10_000), cloud(seed, f), jnp.arange(N) < f)


@jax.jit
def push(rows: Array, f: Array, key: Array) -> Array:
    """The Byzantine rows moved, each by its own step or all by the same."""
    kind, size, noise = jax.random.split(key, 3)
    step = jnp.exp(2 * jax.random.normal(size, ()) - 1) * jax.random.normal(noise, (N, D))
    step = jnp.where(jax.random.bernoulli(kind), step, step[:1])
    return jnp.where((jnp.arange(N) < f)[:, None], rows + step, rows)


def worst(ratio: Any, f: int, clouds: int, steps: int) -> float:
    """The largest ratio over clouds and starts, and after a search from the four worst."""
    begun = []
    for seed, kind in itertools.product(range(clouds), range(FORGERS)):
        rows = start(seed, kind, f)
        begun.append((float(ratio(rows, f, jax.random.key(seed))), seed, kind))
    found = []
    for best, seed, kind in sorted(begun, reverse=True)[:4]:
        rows, key = start(seed, kind, f), jax.random.key(seed)
        for step in range(steps):
            moved = push(rows, f, jax.random.fold_in(key, step))
            now = float(ratio(moved, f, key))
            rows, best = (moved, now) if now > best else (rows, best)
        found.append(best)
    return max(found)


def bound_of(name: str, pre: Sequence[str], steps: int) -> Any:
    """(seed, f) -> the worst ratio that the white-box attack finds on a cloud, over all lengths."""
    run, attack = aggregate_of(name, pre), ATTACKS["whitebox"]

    @jax.jit
    def bound(seed: Array, f: Array) -> Array:
        rows, bad, key = cloud(seed, f), jnp.arange(N) < f, jax.random.key(seed)
        context = AttackContext(
            previous=rows[-1],
            round_index=20,
            ids=jnp.arange(N),
            tolerated_f=f,
            defence=lambda updates, mask: run(updates, ~bad, f, key),
            mass=jnp.ones(N),
            reputation=jnp.ones(N),
        )
        aim = Aim("distance", steps=steps)

        def at(radius: Array) -> Array:
            sent = attack.forge(key, rows, bad, context=context, aim=aim, radius=radius)
            return deviation_ratio(run(sent, ~bad, f, key), sent, ~bad)

        return jax.lax.map(at, jnp.asarray(RADII)).max()

    return lambda f, clouds: max(float(bound(seed, f)) for seed in range(clouds))


def ratio_of(name: str, pre: Sequence[str]) -> Any:
    """(rows, f, key) -> the deviation of the rule from the mean of the rows after the first f."""
    run = aggregate_of(name, pre)

    @jax.jit
    def ratio(rows: Array, f: Array, key: Array) -> Array:
        good = jnp.arange(N) >= f
        return deviation_ratio(run(rows, good, f, key), rows, good)

    return ratio


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rules", nargs="*", default=list(AGGREGATORS), help="names")
    parser.add_argument("--clouds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200, help="of the search from four starts")
    parser.add_argument("--bound", type=int, default=0, help="steps of the white-box attack, 0: no")
    args = parser.parse_args(argv)
    shares = (1, 2, 3, 4)
    print("| rule | " + " | ".join(f"f = {f}" for f in shares) + " | theorem, f = 1 to 4 |")
    print("|---|" + "---|" * (len(shares) + 1))
    bounds = ", ".join(f"{least_coefficient(N, f):.2f}" for f in shares)
    print(f"| (no rule can have less) | | | | | {bounds} |")
    for name in args.rules:
        for pre in ((), ("nnm",)) if promised(name, N, 1) else ((),):
            ratio = ratio_of(name, pre)
            found = [worst(ratio, f, args.clouds, args.steps) for f in shares]
            if args.bound:
                bound = bound_of(name, pre, args.bound)
                found = [max(k, bound(f, args.clouds)) for f, k in zip(shares, found)]
            seen = " | ".join("> 10^4" if k > 1e4 else f"{k:.2f}" for k in found)
            known = [promised(name, N, f, mixed=bool(pre)) for f in shares]
            theorem = ", ".join("-" if k is None else f"{k:.1f}" for k in known)
            print(
                f"| {' + '.join((*pre, name)).replace('_', ' ')} | {seen} | {theorem} |", flush=True
            )


if __name__ == "__main__":
    main(sys.argv[1:])
