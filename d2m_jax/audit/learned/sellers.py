"""Sellers that learn how to bend what they send, when, and what size they claim.

One attack with ten numbers spans honest work, stretching, replay, imitation, noise, sign flips,
sleepers and on-off; evolution finds where in it income (or damage) lies. Read first: `training.py`.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.attacks import Attack, AttackContext
from d2m_jax.audit.deviations import honest_play, market_game
from d2m_jax.audit.learned.training import Game
from d2m_jax.config.hparams import HParams
from d2m_jax.core.norms import safe_norms, unit
from d2m_jax.core.types import Key
from d2m_jax.data import FederatedData
from d2m_jax.market.engine import Market

NAMES = (
    "length",  # log of the length over the typical one
    "own",  # weight of the own honest direction
    "last",  # of the last aggregate
    "others",  # of the mean of what the others send
    "away",  # of what of the own direction is across the last aggregate
    "noise",  # of a random direction
    "first",  # share of the job that passes before it begins, by a logistic curve
    "duty",  # share of the rounds in which it acts, by a logistic curve
    "turn",  # rounds of one turn on and off, by a logistic curve between 1 and 16
    "size",  # log of the claimed size over the true one
)
HONEST = np.array([0, 3, 0, 0, 0, 0, 0, 0, 0, 0], np.float32)
LONGEST_TURN = 16.0
MOST = 3.0  # logs of length and size


class Bend(NamedTuple):
    """A policy by name; each []."""

    length: jax.Array
    own: jax.Array
    last: jax.Array
    others: jax.Array
    away: jax.Array
    noise: jax.Array
    first: jax.Array
    duty: jax.Array
    turn: jax.Array
    size: jax.Array


def mean_of(values: jax.Array, use: jax.Array) -> jax.Array:
    """[] mean of the values [S] in use [S], 0 of none."""
    return jnp.where(use, values, 0.0).sum() / jnp.maximum(use.astype(values.dtype).sum(), 1.0)


def is_on(bend: Bend, round_index: jax.Array, num_rounds: int) -> jax.Array:
    """[] bool: whether the seller acts in this round, after its start, in its part of the turn."""
    now = jnp.asarray(round_index, jnp.float32)
    begins = jnp.round(num_rounds * jax.nn.sigmoid(bend.first - 4.0))
    turn = 1.0 + (LONGEST_TURN - 1.0) * jax.nn.sigmoid(bend.turn)
    place = jnp.mod(now - begins, turn) / turn
    return (now >= begins) & (place < jax.nn.sigmoid(bend.duty + 4.0))


def bent(policy: jax.Array, num_rounds: int) -> Attack:
    """The attack that a policy is.

        exp(length) |u|_typical * unit(own u^ + last d^ + others m^ + away a^ + noise e^)

    with u the own update, d the last aggregate, m the mean of the others, a the part of u^ across
    d^, e a random direction, ^ of length one.

    Args:
        policy: [len(NAMES)].
        num_rounds: of the job, static.
    """
    return Attack(partial(_forge, policy=policy, num_rounds=num_rounds))


def _forge(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext,
    policy: jax.Array,
    num_rounds: int,
) -> jax.Array:
    bend = Bend(*policy)
    own = unit(updates)
    last = jnp.zeros_like(own[0]) if context.previous is None else unit(context.previous)
    honest = ~byzantine if context.mask is None else context.mask & ~byzantine
    others = unit(jnp.where(honest[:, None], updates, 0.0).sum(0))
    across = unit(own - jnp.matmul(own, last)[:, None] * last[None, :])
    random = unit(jax.random.normal(key, updates.shape, updates.dtype))
    mixed = bend.own * own + bend.last * last[None, :] + bend.others * others[None, :]
    mixed = unit(mixed + bend.away * across + bend.noise * random)
    sizes = safe_norms(updates)
    length = mean_of(sizes, byzantine) * jnp.exp(jnp.clip(bend.length, -MOST, MOST))
    now = jnp.asarray(0 if context.round_index is None else context.round_index, jnp.int32)
    acts = byzantine & is_on(bend, now, num_rounds)
    return jnp.where(acts[:, None], length * mixed, updates)


def claimed_bps(policy: jax.Array) -> jax.Array:
    """[] int32: size claimed over the true one, in basis points."""
    return jnp.round(10_000 * jnp.exp(jnp.clip(policy[-1], -MOST, MOST))).astype(jnp.int32)


def tell(policy: np.ndarray) -> str:
    """What the seller does, in words."""
    bend = Bend(*np.asarray(policy, np.float64))
    weights = {
        "its own work": bend.own,
        "the last aggregate": bend.last,
        "the others' mean": bend.others,
        "its own work across the last aggregate": bend.away,
        "noise": bend.noise,
    }
    total = sum(abs(weight) for weight in weights.values())
    parts = [
        f"{weight / max(total, 1e-9):+.0%} {name}"
        for name, weight in sorted(weights.items(), key=lambda item: -abs(item[1]))
        if abs(weight) >= 0.05 * total
    ]
    curve = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    length, size = (np.exp(np.clip(x, -MOST, MOST)) for x in (bend.length, bend.size))
    when = f"from {curve(bend.first - 4):.0%} of the job on, {curve(bend.duty + 4):.0%} of the time"
    sent = f"sends {', '.join(parts)} at {length:.2f} times the length"
    return f"{sent}, {when}; claims {size:.2f} times its size"


def effort_of(policy: jax.Array) -> jax.Array:
    """[] share of the rounds' training that is still done: all, unless none of it is sent."""
    bend = Bend(*policy)
    weights = jnp.abs(jnp.stack([bend.own, bend.last, bend.others, bend.away, bend.noise]))
    used = weights[0] + weights[3]
    return (used >= 0.05 * weights.sum()).astype(jnp.float32)


def owned_by(data: FederatedData, accounts: int) -> np.ndarray:
    """[N] bool: listings of the first so many accounts."""
    units = data.units
    names = np.arange(data.sizes.shape[-1]) if units is None else np.asarray(units.owners)
    return (names >= 0) & (names < accounts)


def seller_game(
    market: Market,
    hparams: HParams,
    data: FederatedData,
    *,
    deviators: int = 1,
    training_cost: float = 0.0,
    damage: bool = False,
) -> Game:
    """Income a head of the first `deviators` sellers of a market, or the damage that they do.

    Where units are sold, all units of these owners do the same, and claim their true size.

    Args:
        market: a market of one job.
        hparams: from `as_arrays`; its attack's numbers are ignored.
        data: of all parties.
        deviators: static; they deviate together.
        training_cost: units that a round of training costs a seller that is drawn.
        damage: static: basis points of accuracy lost instead of income.
    """
    num_rounds = market.spec.num_rounds
    chosen = owned_by(data, deviators)
    mine = np.flatnonzero(chosen)

    def one(policy: jax.Array, key: Key, given: tuple[HParams, FederatedData]) -> jax.Array:
        profile = honest_play(market, *given)._replace(
            sellers=jnp.asarray(chosen, jnp.int32),
            size_lie_bps=jnp.full(len(chosen), claimed_bps(policy)),
        )
        attack = lambda codes: bent(policy, num_rounds)  # noqa: E731
        paid = market_game(market, attack, key, profile, *given)
        if damage:
            return -10_000.0 * paid.accuracy
        cost = training_cost * effort_of(policy) * paid.rounds[mine].astype(jnp.float32)
        return (paid.sellers[mine].astype(jnp.float32) - cost).sum() / deviators

    what = "attackers" if damage else "sellers"
    name = f"{deviators} {what}" if deviators > 1 else what.removesuffix("s")
    play = jax.vmap(one, (None, 0, None))
    return Game(name, HONEST, play, tell, HONEST, 1.0, (hparams, data))
