"""Where a search for bad updates begins: all other attacks at one length, and shorter versions.

Not here: what is done from there (`whitebox.py`). Read next: that.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax.attacks.base import Attack, AttackContext
from d2m_jax.core.choices import lookup, taken
from d2m_jax.core.types import Key, PyTree

Start = Callable[[], jax.Array]


def chosen_attacks(others: Mapping[str, Attack], names: Sequence[str] | None) -> dict[str, Attack]:
    """The attacks on updates among `others`: all, or those of these names.

    Raises:
        ValueError: an unknown name, or an attack on data alone, which forges nothing.
    """
    if names is None:
        return {name: attack for name, attack in others.items() if attack.forge is not None}
    chosen = {name: lookup(others, name, "attack to start from") for name in names}
    for name, attack in chosen.items():
        if attack.forge is None:
            raise ValueError(f"attack {name!r} forges no update, so nothing can start from it")
    return chosen


def first_memories(others: Mapping[str, Attack], num_params: int) -> dict[str, PyTree]:
    """The memory of every attack that remembers, before the first round."""
    return {
        name: attack.init_state(num_params)
        for name, attack in others.items()
        if attack.init_state is not None
    }


def observed(
    others: Mapping[str, Attack],
    memories: Mapping[str, PyTree],
    updates: jax.Array,
    byzantine: jax.Array,
    context: AttackContext,
    knowledge: str,
) -> dict[str, PyTree]:
    """The memories after a round; those whose context is incomplete stay as they are.

    With knowledge "byzantine" no row but the attackers' own is there to be observed.
    """
    if knowledge == "byzantine":
        here = byzantine if context.mask is None else byzantine & context.mask
        context, updates = context._replace(mask=here), jnp.where(byzantine[:, None], updates, 0)
    new = dict(memories)
    for name, memory in memories.items():
        watch = others[name].observe
        if watch is not None and not _missing(others[name], context):
            own = taken(watch, {"knowledge": knowledge})
            new[name] = watch(memory, updates, byzantine, context=context, **own)
    return new


def _missing(attack: Attack, context: AttackContext) -> list[str]:
    """What the attack needs of the context and does not get, its memory apart."""
    return [name for name in attack.needs if name != "state" and getattr(context, name) is None]


def forged_starts(
    key: Key,
    rows: jax.Array,
    byzantine: jax.Array,
    context: AttackContext,
    attacks: Mapping[str, Attack],
) -> list[Start]:
    """Functions that give the rows `[S, D]` of every attack that the context suffices for.

    Every attack gets the same key, as if it acted alone.

    Args:
        key: of the round.
        rows: `[S, D]`, what the attackers believe that everybody computed.
        byzantine: `[S]` bool.
        context: `state` maps names to memories, or is None: then those that remember are left out.
        attacks: name to attack.
    """
    memories: Mapping[str, Any] = context.state or {}

    def start(name: str, attack: Attack) -> Start:
        assert attack.forge is not None
        forge, view = attack.forge, context._replace(state=memories.get(name))
        return lambda: forge(key, rows, byzantine, context=view).astype(rows.dtype)

    return [
        start(name, attack)
        for name, attack in attacks.items()
        if not _missing(attack, context) and ("state" not in attack.needs or name in memories)
    ]


def plain_starts(
    key: Key, own: jax.Array, mean: jax.Array, std: jax.Array, longest: jax.Array
) -> list[Start]:
    """Own updates, those turned, -mu, mu +- 1.5 sigma and noise; all but own and mu at a length.

    Args:
        key: consumed; noise.
        own: `[S, D]`, what the attackers computed.
        mean: `[D]`, mu.
        std: `[D]`, sigma.
        longest: `[]`, that length.
    """

    def at_length(rows: jax.Array) -> jax.Array:
        lengths = jnp.linalg.norm(rows, axis=1, keepdims=True)
        return longest * rows / jnp.where(lengths > 0, lengths, 1)

    return [
        lambda: own,
        lambda: at_length(-own),
        lambda: at_length(jnp.broadcast_to(-mean, own.shape)),
        lambda: jnp.broadcast_to(mean + 1.5 * std, own.shape),
        lambda: jnp.broadcast_to(mean - 1.5 * std, own.shape),
        lambda: at_length(jax.random.normal(key, own.shape, own.dtype)),
    ]
