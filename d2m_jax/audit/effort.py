"""Sellers that work less than they are paid for, each with what it still computes.

Read next: `effort_rows.py`, which plays them under every measure and payment. What is made of other
sellers' updates of the same round needs a leak: sellers do not see them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.attacks import ATTACKS, Attack, AttackContext
from d2m_jax.attacks.base import EMPTY, masked_mean, present, write_rows
from d2m_jax.core.types import Key


class Slack(NamedTuple):
    """One way of working less."""

    attack: Attack
    work: Callable[[np.ndarray], np.ndarray]  # rounds drawn -> rounds of honest work still done
    sees: str  # what the seller must see: "model" (aggregates too), "past" or "present" updates
    is_seldom: bool = False  # does honest work in some rounds, none in others


def ways_to_slack(num_sellers: int, batch_size: int, local_steps: int = 1) -> dict[str, Slack]:
    """All ways by name.

    Args:
        num_sellers: N.
        batch_size: examples of a local step.
        local_steps: with more than one, fewer of them are a way too.
    """
    replay, mimic = ATTACKS["free_rider_replay"], ATTACKS["mimic"]
    ways = {
        "half of the batch": _smaller(batch_size, 2),
        "an eighth of the batch": _smaller(batch_size, 8),
        "every gradient twice": _stale(num_sellers, 2),
        "every gradient four times": _stale(num_sellers, 4),
        "the last aggregate": Slack(replay, _nothing, "model"),
        "another's last update": Slack(
            Attack(_late_copy, init_state=_no_copy, observe=_see), _nothing, "past"
        ),
        "another's update": Slack(mimic, _nothing, "present"),
        "the mean of the others": Slack(Attack(_mean_of_others), _nothing, "present"),
    }
    if local_steps > 1:
        few = max(local_steps // 2, 1)
        ways["half of the local steps"] = Slack(
            Attack(shorten=partial(_at_most, few)), lambda n: n * few / local_steps, "model"
        )
    return ways


def _nothing(rounds: np.ndarray) -> np.ndarray:
    return np.zeros_like(rounds, dtype=float)


def _smaller(batch_size: int, factor: int) -> Slack:
    kept = max(batch_size // factor, 1)
    attack = Attack(poison=partial(_repeated, kept))
    return Slack(attack, lambda rounds: rounds * kept / batch_size, "model")


def _repeated(
    kept: int, key: Key, inputs: jax.Array, labels: jax.Array, num_classes: int, **_: Any
) -> tuple[jax.Array, jax.Array]:
    """The first `kept` examples of the batch, again and again."""
    del key, num_classes
    rows = jnp.arange(labels.shape[0]) % kept
    return inputs[rows], labels[rows]


def _at_most(most: int, steps: jax.Array, byzantine: jax.Array) -> jax.Array:
    return jnp.where(byzantine, jnp.minimum(steps, most), steps)


class Cache(NamedTuple):
    """What every seller computed when it last worked."""

    updates: jax.Array  # [N, D]
    draws: jax.Array  # [N] int32, rounds in which it was there


def _stale(num_sellers: int, period: int) -> Slack:
    """Works in the first of every `period` rounds in which it is drawn, and sends that again."""

    def init_state(num_params: int) -> Cache:
        return Cache(jnp.zeros((num_sellers, num_params)), jnp.zeros(num_sellers, jnp.int32))

    def observe(
        state: Cache, updates: jax.Array, byzantine: jax.Array, *, context: AttackContext = EMPTY
    ) -> Cache:
        ids = jnp.asarray(context.ids)
        here = byzantine & present(updates, context)
        works = here & (state.draws[ids] % period == 0)
        return Cache(
            state.updates.at[jnp.where(works, ids, num_sellers)].set(updates, mode="drop"),
            state.draws.at[jnp.where(here, ids, num_sellers)].add(1, mode="drop"),
        )

    def forge(
        key: Key, updates: jax.Array, byzantine: jax.Array, *, context: AttackContext = EMPTY
    ) -> jax.Array:
        del key
        kept = context.state.updates[jnp.asarray(context.ids)]
        return write_rows(updates, byzantine, kept, context)

    attack = Attack(forge, init_state=init_state, observe=observe)
    return Slack(attack, lambda rounds: np.ceil(rounds / period), "model", is_seldom=True)


class Copy(NamedTuple):
    """An honest update of the round before, and of this one."""

    last: jax.Array  # [D]
    now: jax.Array  # [D]


def _no_copy(num_params: int) -> Copy:
    return Copy(jnp.zeros(num_params), jnp.zeros(num_params))


def _see(
    state: Copy, updates: jax.Array, byzantine: jax.Array, *, context: AttackContext = EMPTY
) -> Copy:
    honest = present(updates, context) & ~byzantine
    first = updates[jnp.argmax(honest)]
    return Copy(state.now, jnp.where(honest.any(), first, state.now))


def _late_copy(
    key: Key, updates: jax.Array, byzantine: jax.Array, *, context: AttackContext = EMPTY
) -> jax.Array:
    del key
    return write_rows(updates, byzantine, context.state.last, context)


def _mean_of_others(
    key: Key, updates: jax.Array, byzantine: jax.Array, *, context: AttackContext = EMPTY
) -> jax.Array:
    del key
    mean = masked_mean(updates, present(updates, context) & ~byzantine)
    return write_rows(updates, byzantine, mean, context)
