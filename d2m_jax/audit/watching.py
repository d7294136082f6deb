"""Does watching pay? Three schemes of pay for those who recompute, solved for, played and learnt.

Each cell: errors are planted at 1.2 times the least rate that deters a liar. The equilibrium is
held against a population of watchers that revises its habit by what it has earned, and against a
liar that learns. Read first: `incentives/watching.py`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from d2m_jax.audit.games import WATCH_PAYS, WatchGame, watch_game
from d2m_jax.audit.learned.training import Effort, Game, learn_at
from d2m_jax.audit.settings import Stage, keys_of
from d2m_jax.core.types import Key, Number, PyTree
from d2m_jax.incentives import dynamics, regret
from d2m_jax.incentives.watching import (
    SHARES,
    deterring,
    dilemma,
    peer_threshold,
    planted_rate,
)
from d2m_jax.report.watch_plots import plot_watching

CROWDS = (2, 4, 8, 16)  # watchers
SCHEMES = tuple(WATCH_PAYS)
FILE = "watching.csv"
WORLDS, UNITS = 32, 500  # of a revision; the report has 16 times as many worlds
TRIED = 0.05  # share of the units in which a liar tries all the same
REVISIONS = 40


class Terms(NamedTuple):
    """Units of money; see `incentives/watching.py`."""

    gain: float = 50_000.0
    loss: float = 20_000.0
    prize: float = 50_000.0
    cost: float = 300.0
    margin: float = 1.2  # planted errors over the least rate


class Rest(NamedTuple):
    """Where theory says that the watchers end."""

    planted: float
    watching: float  # p*
    cost: float  # per unit of work, prizes or scores


def rest_of(scheme: str, watchers: int, terms: Terms) -> Rest:
    """The equilibrium of a scheme.

    Under "peer" it is that everybody looks, which holds from the threshold on; errors are planted
    so that the threshold lies at the p that deters, divided by the margin.
    """
    gain, loss, prize, cost, margin = terms
    if scheme == "peer":
        least = deterring(gain, loss, watchers)
        want = min(cost / (2 * prize * least), 0.25)
        planted = margin * (1 - (1 - 4 * want) ** 0.5) / 2  # rho (1 - rho) = want
        holds = peer_threshold(planted, prize, cost) < 1
        score = 2 * prize * planted * (1 - planted)
        return Rest(planted, float(holds), watchers * score * holds)
    share = SHARES[scheme]
    planted = margin * planted_rate(gain, loss, prize, cost, watchers, share)
    end = dilemma(gain, loss, prize, cost, watchers, planted, share)
    return Rest(planted, end.watching, end.cost)


class World(NamedTuple):
    """What is played; each []."""

    scheme: jax.Array  # int32, place among `SCHEMES`; not to be batched
    watchers: jax.Array  # int32, h
    planted: jax.Array  # float32
    accounts: jax.Array  # int32, names of the first watcher


def played(
    terms: Terms, own: Number, others: Number, lying: Number, world: World, key: Key
) -> WatchGame:
    """One world; the first watcher looks with probability `own`."""
    gain, loss, prize, cost, _ = terms
    return watch_game(
        key, own, others, lying=lying, planted=world.planted, prize=prize, cost=cost, gain=gain,
        loss=loss, watchers=world.watchers, units=UNITS, scheme=world.scheme,
        accounts=world.accounts, most=max(CROWDS),
    )  # fmt: skip


def revised(terms: Terms) -> Callable[..., jax.Array]:
    """`(start, world, key) -> [REVISIONS] p`: habits that earn more become more common.

    A population of which a share p looks; after every revision by replicator dynamics at
    0.3 / cost per unit of money.
    """

    def step(world: World, p: jax.Array, key: Key) -> tuple[jax.Array, jax.Array]:
        keys = jax.random.split(key, WORLDS)
        earn = jax.vmap(partial(played, terms), (None, None, None, None, 0))
        payoffs = jnp.stack([earn(own, p, 0.0, world, keys).payoff.mean() for own in (0.0, 1.0)])
        shares = dynamics.replicator(jnp.stack([1 - p, p]), payoffs, 0.3 / terms.cost)
        now = jnp.clip(shares[1], 1e-4, 1 - 1e-4)
        return now, now

    def run(start: jax.Array, world: World, key: Key) -> jax.Array:
        keys = jax.random.split(key, REVISIONS)
        return jax.lax.scan(partial(step, world), jnp.asarray(start, jnp.float32), keys)[1]

    return jax.jit(run)


def liar(terms: Terms) -> Game:
    """A liar that learns how often to lie, under `((watching, World), ())`."""

    def one(policy: jax.Array, key: Key, given: PyTree) -> jax.Array:
        (p, world), _ = given
        return played(terms, p, p, jax.nn.sigmoid(policy[0]), world, key).liar

    honest, start = np.full(1, -12.0, np.float32), np.zeros(1, np.float32)
    tell = lambda policy: f"lies in {rate_of(policy):.0%} of the units"  # noqa: E731
    return Game("liar", honest, jax.vmap(one, (None, 0, None)), tell, start, 1.5)


def rate_of(policy: np.ndarray) -> float:
    """How often a liar lies."""
    return float(1 / (1 + np.exp(-float(policy[0]))))


def worlds_of(
    rests: Sequence[Rest], cells: Sequence[tuple[str, int]], accounts: int
) -> list[World]:
    """The world of every cell."""
    return [
        World(
            jnp.int32(SCHEMES.index(scheme)), jnp.int32(watchers), jnp.float32(rest.planted),
            jnp.int32(accounts),
        )
        for rest, (scheme, watchers) in zip(rests, cells)
    ]  # fmt: skip


def lies_learnt(terms: Terms, watching: Sequence[float], worlds: Sequence[World]) -> list[float]:
    """How often a liar lies that has learnt what it earns, in every world.

    What a liar earns does not depend on how watchers are paid.
    """
    first = [world._replace(scheme=jnp.int32(0)) for world in worlds]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *first)._replace(scheme=None)
    game = liar(terms)

    def payoff(policy: jax.Array, keys: jax.Array, given: PyTree) -> jax.Array:
        (p, world), rest = given
        return game.payoff(policy, keys, ((p, world._replace(scheme=jnp.int32(0))), rest))

    effort = Effort(generations=25, population=8, worlds=16, restarts=1)
    points = jnp.asarray(watching, jnp.float32), stacked
    found = learn_at(jax.random.key(53), game._replace(payoff=payoff), effort, points, judged_on=64)
    return [rate_of(one.policy) for one in found]


def watch_rows(num_rounds: int, terms: Terms) -> list[dict[str, Any]]:
    """A row per scheme and number of watchers; see the columns."""
    cells = [(scheme, watchers) for scheme in SCHEMES for watchers in CROWDS]
    rests = [rest_of(*cell, terms) for cell in cells]
    worlds, doubles = worlds_of(rests, cells, 1), worlds_of(rests, cells, 2)
    lies = lies_learnt(terms, [rest.watching for rest in rests], worlds)
    run = jax.jit(jax.vmap(partial(played, terms), (None, None, None, None, 0)))
    keys, revise = keys_of(16 * WORLDS, 50), revised(terms)

    def pay(own: float, others: float, lying: float, world: World) -> WatchGame:
        numbers = (jnp.float32(x) for x in (own, others, lying))
        return jax.device_get(run(*numbers, world, keys))

    rows = []
    for (scheme, watchers), rest, world, double, lie in zip(cells, rests, worlds, doubles, lies):
        p = rest.watching
        never, always, usual, named = (
            np.asarray(pay(own, p, 0.0, here).payoff, np.float64)
            for own, here in ((0, world), (1, world), (p, world), (p, double))
        )
        gap, second = regret(np.stack([never, always])), regret(np.stack([usual, named]))
        tried, survives = pay(p, p, TRIED, world), (1 - p) ** watchers
        ends = [
            revise(at, world, jax.random.key(52))[-15:] for at in starts_of(scheme, rest, terms)
        ]
        rows.append({
            "scheme": scheme,
            "watchers": watchers,
            "planted": rest.planted,
            "p that deters": deterring(terms.gain, terms.loss, watchers),
            "p closed": p,
            "p learnt from below": float(np.mean(ends[0])),
            "p learnt from above": float(np.mean(ends[1])),
            "gain of always looking": gap.value,
            "margin": float(gap.margins[1]),
            "survival closed": survives,
            "survival played": float(tried.survival.mean() / ((1 - rest.planted) * TRIED)),
            "liar learns to lie in": lie,
            "cost of a unit": rest.cost,
            "cost of a job": rest.cost * (num_rounds + 1),
            "gain of a second name": float(second.gains[1]),
            "margin of it": float(second.margins[1]),
        })  # fmt: skip
    return rows


def starts_of(scheme: str, rest: Rest, terms: Terms) -> tuple[float, float]:
    """Where watchers begin that revise: below and above p*, or the threshold under "peer"."""
    middle = rest.watching
    if scheme == "peer":
        middle = peer_threshold(rest.planted, terms.prize, terms.cost)
    return 0.6 * middle, min(1.5 * middle, (1 + middle) / 2)


def audit_watchers(stage: Stage, num_rounds: int) -> None:
    """Writes `watching.csv` and its plot; a verdict per scheme and number of watchers."""
    audit = stage.audit
    if audit.has(f"watchers, {SCHEMES[-1]}, {CROWDS[-1]}"):
        return
    rows = watch_rows(num_rounds, Terms())
    for row in rows:
        game = f"watchers, {row['scheme']}, {row['watchers']}"
        audit.verdicts.append({"game": game, "honesty is": standing(row)})
    table = pd.DataFrame(rows)
    if audit.out:
        table.to_csv(audit.out / FILE, index=False, float_format="%.6g")
        plot_watching(table, audit.out / "watching.png")
    audit.keep()


def standing(row: dict[str, Any]) -> str:
    """Whether watching and not lying is where a row ends."""
    watches = row["p learnt from above"] >= row["p that deters"]
    lies = row["liar learns to lie in"] > 0.05
    if not watches or lies:
        return "fails"
    return "Nash only" if row["p learnt from below"] < row["p that deters"] else "dominant"
