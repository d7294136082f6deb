"""How a deviator learns: natural evolution on what it earns, in worlds that nobody has seen twice.

A game says what a policy earns. Its parameters are searched by SNES (Schaul, Glasmachers and
Schmidhuber 2011, separable natural evolution strategies; package evosax): every generation all
candidates play the same fresh worlds, so that luck cancels between them; the policy is the mean of
those of the last third of the generations. The best of several restarts is chosen on worlds of its
own and reported on others again. Read next: `buyers.py`.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.core.types import Key, PyTree


class Game(NamedTuple):
    """What one role can do, as a function of numbers.

    `payoff(policy [P], keys [K], given) -> [K]` units, in the worlds of these keys; `tell(policy)`
    says what a policy does.
    """

    name: str
    honest: np.ndarray  # [P] a policy that is honesty itself
    payoff: Callable[[jax.Array, jax.Array, PyTree], jax.Array]
    tell: Callable[[np.ndarray], str]
    start: np.ndarray  # [P] where the search begins
    spread: float  # standard deviation of the first candidates
    given: PyTree = ()  # arrays that all worlds share: an argument of the program, not a part of it


class Effort(NamedTuple):
    """How hard a deviator tries."""

    generations: int = 60
    population: int = 16  # candidates of a generation
    worlds: int = 64  # that each plays in a generation
    restarts: int = 3


class Learned(NamedTuple):
    """What came of it."""

    policy: np.ndarray  # [P] of the best restart
    curve: np.ndarray  # [restarts, generations] mean income of each generation's candidates
    payoffs: np.ndarray  # [2, K] of honesty and of the policy, in fresh worlds


def learn(key: Key, game: Game, effort: Effort, *, judged_on: int = 1024) -> Learned:
    """Trains a policy and plays it in fresh worlds beside honesty.

    Args:
        key: consumed.
        game: what is played.
        effort: how hard.
        judged_on: K, worlds of the report, and again as many for the choice between restarts.

    Raises:
        ValueError: an effort of less than one restart, generation or world, or of fewer than four
            candidates.

    Cost: restarts * generations * population * worlds games, in one program.
    """
    check_effort(effort)
    train_key, choice_key, report_key = jax.random.split(key, 3)
    starts = jax.random.split(train_key, effort.restarts)
    policies, curve = jax.jit(_trained(game, effort))(starts, game.given)
    play = jax.jit(game.payoff)
    choice = jax.random.split(choice_key, judged_on)
    means = [float(np.mean(play(policy, choice, game.given))) for policy in policies]
    best = policies[int(np.argmax(means))]
    fresh = jax.random.split(report_key, judged_on)
    rows = [play(policy, fresh, game.given) for policy in (jnp.asarray(game.honest), best)]
    payoffs = np.stack([np.asarray(row, np.float64) for row in rows])
    return Learned(np.asarray(best), np.asarray(curve), payoffs)


def learn_at(
    key: Key,
    game: Game,
    effort: Effort,
    points: PyTree,
    *,
    judged_on: int = 256,
    batch: int | None = None,
) -> list[Learned]:
    """As `learn`, for many terms of one game side by side: the same worlds under all of them.

    Args:
        key: consumed.
        game: whose payoff takes `(point, game.given)` as what is given.
        effort: how hard, at each point.
        points: leaves with a leading axis of points.
        judged_on: as in `learn`.
        batch: games side by side, as near as whole points, candidates and worlds allow; None: all.

    Returns:
        One result per point. Cost: as many times that of `learn`, in one program.
    """
    check_effort(effort)
    train_key, choice_key, report_key = jax.random.split(key, 3)
    starts = jax.random.split(train_key, effort.restarts)
    count = len(jax.tree.leaves(points)[0])
    train = _trained(game, effort, batch)

    def trained_at(starts: jax.Array, points: PyTree, given: PyTree) -> PyTree:
        size = _several(count, batch, effort.population * effort.worlds)
        return jax.lax.map(lambda point: train(starts, (point, given)), points, batch_size=size)

    def played_at(policies: jax.Array, keys: jax.Array, points: PyTree, given: PyTree) -> jax.Array:
        def one(each: tuple[jax.Array, PyTree]) -> jax.Array:
            return _played(game, each[0], keys, (each[1], given), batch)

        size = _several(count, batch, judged_on)
        return jax.lax.map(one, (policies, points), batch_size=size)

    policies, curves = jax.jit(trained_at)(starts, points, game.given)
    policies = np.asarray(policies)  # [points, restarts, P]
    play = jax.jit(played_at)
    choice, fresh = (jax.random.split(k, judged_on) for k in (choice_key, report_key))
    tries = [policies[:, i] for i in range(effort.restarts)]
    means = np.stack([np.asarray(play(p, choice, points, game.given)).mean(1) for p in tries])
    best = np.stack([policies[at, i] for at, i in enumerate(means.argmax(0))])
    both = np.broadcast_to(game.honest, best.shape), best
    rows = np.stack([np.asarray(play(p, fresh, points, game.given), np.float64) for p in both], 1)
    return [Learned(*found) for found in zip(best, np.asarray(curves), rows)]


def _several(count: int, batch: int | None, games: int) -> int:
    """How many of `count` things of so many games each are played side by side, at least one."""
    return count if batch is None else min(count, max(1, batch // games))


def _played(
    game: Game, policy: jax.Array, keys: jax.Array, given: PyTree, batch: int | None
) -> jax.Array:
    """[K] what a policy earns in the worlds of these keys, so many of them side by side."""
    if batch is None:
        return game.payoff(policy, keys, given)

    def alone(key: jax.Array) -> jax.Array:
        return game.payoff(policy, key[None], given)[0]

    return jax.lax.map(alone, keys, batch_size=_several(len(keys), batch, 1))


def check_effort(effort: Effort) -> None:
    """Raises ValueError for an effort that is none."""
    if min(effort.generations, effort.worlds, effort.restarts) < 1 or effort.population < 4:
        raise ValueError(f"an effort needs at least 4 candidates and 1 of all else, not {effort}")


@contextlib.contextmanager
def _as_the_library_is_written() -> Iterator[None]:
    """evosax promotes ranks and types, whatever the caller's program forbids."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def _trained(
    game: Game, effort: Effort, batch: int | None = None
) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """(keys [R], given) -> (policies [R, P], [R, generations] mean income of the candidates)."""
    from evosax.algorithms import SNES  # takes long to load

    start = jnp.asarray(game.start, jnp.float32)
    search = SNES(population_size=effort.population, solution=start)
    terms = search.default_params.replace(std_init=jnp.float32(game.spread))
    size = _several(effort.population, batch, effort.worlds)

    def play(candidates: jax.Array, worlds: jax.Array, given: PyTree) -> jax.Array:
        if batch is None:
            return jax.vmap(game.payoff, (0, None, None))(candidates, worlds, given)
        earned = partial(_played, game, keys=worlds, given=given, batch=batch)
        return jax.lax.map(earned, candidates, batch_size=size)

    def generation(given, state, key):  # type: ignore[no-untyped-def]
        ask_key, world_key, tell_key = jax.random.split(key, 3)
        with _as_the_library_is_written():
            candidates, state = search.ask(ask_key, state, terms)
        worlds = jax.random.split(world_key, effort.worlds)
        income = play(candidates, worlds, given).astype(jnp.float32).mean(1)
        with _as_the_library_is_written():
            state, _ = search.tell(tell_key, candidates, -income, state, terms)
        return state, (state.mean, income.mean())

    def trained(key: Key, given: PyTree) -> tuple[jax.Array, jax.Array]:
        start_key, key = jax.random.split(key)
        with _as_the_library_is_written():
            state = search.init(start_key, start, terms)
        keys = jax.random.split(key, effort.generations)
        _, (means, curve) = jax.lax.scan(partial(generation, given), state, keys)
        return means[2 * effort.generations // 3 :].mean(0), curve

    return lambda keys, given: jax.lax.map(lambda key: trained(key, given), keys)
