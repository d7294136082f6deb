"""What a seller may do instead of honest work, as one attack that serves many sellers or markets.

`repertoire`: a code per seller picks its strategy, so that profiles may mix. `one_of`: one code for
all attackers of a market, for attacks that are too dear to compute in vain. `led`: both, for some
who deviate among others who do all kinds of things. Read next: `deviations.py`, which plays them.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.attacks import ATTACKS, Attack, AttackContext
from d2m_jax.attacks.switched import switched_attack
from d2m_jax.core.choices import lookup, taken
from d2m_jax.core.types import Key, Number

HONEST, LEAD = 0, -1  # codes of sellers; the others count the entries of a repertoire
EFFORT = {  # share of the training work that a strategy still does; everything else does all of it
    "half_effort": 0.5,
    **dict.fromkeys(("gaussian", "nan", "inf", "huge", "poisoned_fl"), 0.0),
    **{name: 0.0 for name in ATTACKS if name.startswith("free_rider")},
    # what is made of other sellers' updates needs none of one's own
    **{name: 0.0 for name, attack in ATTACKS.items() if attack.knowledge == "omniscient"},
    "norm_inflation_clip": 1.0,  # stretches its own
    # works as long as it is not its turn
    **dict.fromkeys(("drowning", "sleeper", "opportunist", "pawns"), 1.0),
}


def half_effort(
    key: Key, inputs: jax.Array, labels: jax.Array, num_classes: int, **_: Any
) -> tuple[jax.Array, jax.Array]:
    """A seller that computes on half of its batch only: the second half repeats the first."""
    del key, num_classes
    rows = jnp.arange(labels.shape[0]) % max(labels.shape[0] // 2, 1)
    return inputs[rows], labels[rows]


def known() -> dict[str, Attack]:
    """All that a seller may do instead of honest work, by name; see `seller_strategies`."""
    return {**ATTACKS, "half_effort": Attack(poison=half_effort), "false_size": Attack()}


def seller_strategies(names: tuple[str, ...]) -> dict[str, Attack]:
    """The named strategies of a seller; "honest" comes first and need not be named.

    A name is "half_effort", "false_size" (honest work; the seller misbehaves, so that
    `Play.size_lie_bps` applies to it) or one of `ATTACKS` that keeps no memory and does not search
    against the rule (for those there is `one_of`).

    Raises:
        ValueError: an unknown name, or an attack that cannot be picked by a code.
    """
    chosen = {"honest": Attack()}
    for name in names:
        attack = lookup(known(), name, "seller strategy")
        if searches(attack):
            raise ValueError(
                f"seller strategy {name!r} remembers or searches and has no place in a repertoire; "
                "it goes into `one_of`"
            )
        chosen[name] = attack
    return chosen


def searches(attack: Attack) -> bool:
    """Whether an attack remembers rounds or rehearses the defence, and so costs a lot."""
    return attack.observe is not None or "defence" in attack.needs


def one_of(names: tuple[str, ...], code: jax.Array) -> Attack:
    """One attack for all attackers of a market: the one that `code` picks.

    Only the chosen one is computed as long as the code is not batched (`in_axes=None` in a `vmap`),
    so these may be the attacks that remember or search against the rule; it alone remembers.

    Args:
        names: of `known`.
        code: [] int32, place among the names; call this inside the trace.

    Raises:
        ValueError: an unknown name.
    """
    attacks = [lookup(known(), name, "seller strategy") for name in names]
    return switched_attack(attacks, code)


def repertoire(
    strategies: Mapping[str, Attack],
    codes: jax.Array,
    changed: Mapping[str, Mapping[str, Number]] | None = None,
) -> Attack:
    """One attack for all sellers of a market: each plays the entry that its code says.

    Every entry is computed in every round and the right row taken, so that one program serves all
    profiles; with the strategies of the default list that costs about as much as the round itself.

    Args:
        strategies: name to attack, honest first.
        codes: [N] int32, places among the strategies; call this inside the trace.
        changed: other numbers than the defaults of each attack.
    """
    given = changed or {}

    def forge(
        key: Key, updates: jax.Array, byzantine: jax.Array, *, context: AttackContext
    ) -> jax.Array:
        code = codes[context.ids]
        result = updates
        for index, (name, attack) in enumerate(strategies.items()):
            if attack.forge is not None:
                mine = byzantine & (code == index)
                key_k = jax.random.fold_in(key, index)
                own = taken(attack.forge, given.get(name, {}))
                forged = attack.forge(key_k, updates, mine, context=context, **own)
                result = jnp.where(mine[:, None], forged, result)
        return result

    def poison(
        key: Key, inputs: jax.Array, labels: jax.Array, num_classes: int, *, seller: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        result = inputs, labels
        for index, (name, attack) in enumerate(strategies.items()):
            if attack.poison is not None:
                own = taken(attack.poison, given.get(name, {}))
                bad = attack.poison(key, inputs, labels, num_classes, seller=seller, **own)
                mine = codes[seller] == index
                result = jax.tree.map(lambda a, b, m=mine: jnp.where(m, a, b), bad, result)
        return result

    return Attack(forge, poison)


class Lead(NamedTuple):
    """What those who deviate together do; no leaf may be batched."""

    code: jax.Array  # [] int32, place among the leaders' strategies
    wild: jax.Array  # [] bool, whether anybody else misbehaves


def led(lead: tuple[str, ...], crowd: tuple[str, ...], codes: jax.Array, choice: Lead) -> Attack:
    """One attack for some who deviate together (code `LEAD`) among others who play at random.

    Of the leaders' list only one entry is computed, the crowd's is computed whole unless nobody is
    wild. What a leader knows of the others is their honest work.

    Args:
        lead: names for `one_of`.
        crowd: names for `seller_strategies`; the code of a seller is its place in that list.
        codes: [N] int32; call this inside the trace.
        choice: what the leaders do.
    """
    leaders: Any = one_of(lead, choice.code)
    others: Any = repertoire(seller_strategies(crowd), codes)  # always forges and poisons

    def observe(
        memory: Any, updates: jax.Array, byzantine: jax.Array, *, context: AttackContext
    ) -> Any:
        mine = byzantine & (codes[context.ids] == LEAD)
        return leaders.observe(memory, updates, mine, context=context)

    def forge(
        key: Key, updates: jax.Array, byzantine: jax.Array, *, context: AttackContext
    ) -> jax.Array:
        lead_key, crowd_key = jax.random.split(key)
        mine = byzantine & (codes[context.ids] == LEAD)
        act = partial(others.forge, crowd_key, updates, byzantine & ~mine, context=context)
        rest = jax.lax.cond(choice.wild, act, lambda: updates)
        if leaders.forge is None:
            return rest
        forged = leaders.forge(lead_key, updates, mine, context=context)
        return jnp.where(mine[:, None], forged, rest)

    def poison(
        key: Key, inputs: jax.Array, labels: jax.Array, num_classes: int, *, seller: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        batch = inputs, labels
        act = partial(others.poison, key, *batch, num_classes, seller=seller)
        rest = jax.lax.cond(choice.wild, act, lambda: batch)
        if leaders.poison is None:
            return rest
        bad = leaders.poison(key, *batch, num_classes, seller=seller)
        mine = codes[seller] == LEAD
        return jax.tree.map(lambda a, b: jnp.where(mine, a, b), bad, rest)

    remembers = observe if leaders.observe else None
    return Attack(forge, poison, init_state=leaders.init_state, observe=remembers)
