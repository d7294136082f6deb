"""What a seller may do instead of honest work, as one attack that serves many sellers or markets.

`repertoire`: a code per seller picks its strategy, so that profiles may mix. `one_of`: one code for
all attackers of a market, for attacks that are too dear to compute in vain. `led`: both, for some
who deviate among others who do all kinds of things. Read next: `deviations.py`, which plays them.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax.attacks import ATTACKS, Attack, AttackContext
from d2m_jax.attacks.switched import switched_attack
from d2m_jax.core.choices import lookup
from d2m_jax.core.types import Key, Number

HONEST, LEAD = 0, -1  # codes of sellers; the others count the entries of a repertoire
EFFORT = {  # share of the training work that a strategy still does; everything else does all of it
    "half_effort": 0.5,
    **dict.fromkeys(("gaussian", "nan", "inf", "huge"), 0.0),
    **{name: 0.0 for name in ATTACKS if name.startswith("free_rider")},
    # what is made of other sellers' updates needs none of one's own
    **{name: 0.0 for name, attack in ATTACKS.items() if attack.knowledge == "omniscient"},
    "norm_inflation_clip": 1.0,  # stretches its own
}


def half_effort(
    key: Key, images: jax.Array, labels: jax.Array, num_classes: int, **_: Any
) -> tuple[jax.Array, jax.Array]:
    """A seller that computes on half of its batch only: the second half repeats the first."""
    del key, num_classes
    rows = jnp.arange(labels.shape[0]) % max(labels.shape[0] // 2, 1)
    return images[rows], labels[rows]


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


def one_of(names: tuple[str, ...]) -> Attack:
    """One attack whose number `code` [] says which of the names all attackers carry out.

    Only the chosen one is computed as long as the code is not batched (`in_axes=None` in a `vmap`),
    so these may be the attacks that remember or search against the rule; it alone remembers.

    Raises:
        ValueError: an unknown name.
    """
    attacks = [lookup(known(), name, "seller strategy") for name in names]
    numbers = {str(place): attack.hyper for place, attack in enumerate(attacks)}

    def by_code(part: str) -> Callable[..., Any]:
        def act(*args: Any, code: jax.Array, **given: Any) -> Any:
            chosen = switched_attack(attacks, code.astype(jnp.int32))
            return getattr(chosen, part)(*args, **given, **numbers)

        return act

    parts = switched_attack(attacks, jnp.int32(0))._asdict()
    acting = {part: by_code(part) for part in ("forge", "poison", "observe") if parts[part]}
    return Attack(**{**parts, **acting, "hyper": {"code": 0.0}})


def repertoire(
    strategies: Mapping[str, Attack], numbers: Mapping[str, Mapping[str, Number]] | None = None
) -> Attack:
    """One attack whose number `strategy` [N] says which entry each seller plays.

    Every entry is computed in every round and the right row taken, so that one program serves all
    profiles; with the strategies of the default list that costs about as much as the round itself.

    Args:
        strategies: name to attack, honest first.
        numbers: other numbers than the defaults of each attack.
    """
    hyper = {
        name: {**attack.hyper, **(numbers or {}).get(name, {})}
        for name, attack in strategies.items()
    }

    def forge(
        key: Key,
        updates: jax.Array,
        byzantine: jax.Array,
        *,
        context: AttackContext,
        strategy: jax.Array,
    ) -> jax.Array:
        code = strategy[context.ids]
        result = updates
        for index, (name, attack) in enumerate(strategies.items()):
            if attack.forge is not None:
                mine = byzantine & (code == index)
                key_k = jax.random.fold_in(key, index)
                forged = attack.forge(key_k, updates, mine, context=context, **hyper[name])
                result = jnp.where(mine[:, None], forged, result)
        return result

    def poison(
        key: Key,
        images: jax.Array,
        labels: jax.Array,
        num_classes: int,
        *,
        seller: jax.Array,
        strategy: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        result = images, labels
        for index, (name, attack) in enumerate(strategies.items()):
            if attack.poison is not None:
                bad = attack.poison(key, images, labels, num_classes, seller=seller, **hyper[name])
                mine = strategy[seller] == index
                result = jax.tree.map(lambda a, b, m=mine: jnp.where(m, a, b), bad, result)
        return result

    return Attack(forge, poison, hyper={"strategy": 0.0})


def led(lead: tuple[str, ...], crowd: tuple[str, ...]) -> Attack:
    """One attack for some who deviate together (code `LEAD`) among others who play at random.

    Of the leaders' list only entry `code` [] is computed, the crowd's is computed whole unless
    `wild` [] is 0: neither may be batched. What a leader knows of the others is their honest work.

    Args:
        lead: names for `one_of`.
        crowd: names for `seller_strategies`; the code of a seller [N] is its place in that list.
    """
    leaders: Any = one_of(lead)
    others: Any = repertoire(seller_strategies(crowd))  # always forges and poisons

    def observe(
        memory: Any, updates: jax.Array, byzantine: jax.Array, *,
        context: AttackContext, strategy: jax.Array, code: jax.Array, wild: jax.Array,
    ) -> Any:  # fmt: skip
        del wild
        mine = byzantine & (strategy[context.ids] == LEAD)
        return leaders.observe(memory, updates, mine, context=context, code=code)

    def forge(
        key: Key, updates: jax.Array, byzantine: jax.Array, *,
        context: AttackContext, strategy: jax.Array, code: jax.Array, wild: jax.Array,
    ) -> jax.Array:  # fmt: skip
        lead_key, crowd_key = jax.random.split(key)
        mine = byzantine & (strategy[context.ids] == LEAD)
        given = {"context": context, "strategy": strategy}
        act = partial(others.forge, crowd_key, updates, byzantine & ~mine, **given)
        rest = jax.lax.cond(wild > 0, act, lambda: updates)
        if leaders.forge is None:
            return rest
        forged = leaders.forge(lead_key, updates, mine, context=context, code=code)
        return jnp.where(mine[:, None], forged, rest)

    def poison(
        key: Key, images: jax.Array, labels: jax.Array, num_classes: int, *,
        seller: jax.Array, strategy: jax.Array, code: jax.Array, wild: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:  # fmt: skip
        batch = images, labels
        act = partial(others.poison, key, *batch, num_classes, seller=seller, strategy=strategy)
        rest = jax.lax.cond(wild > 0, act, lambda: batch)
        if leaders.poison is None:
            return rest
        bad = leaders.poison(key, *batch, num_classes, seller=seller, code=code)
        mine = strategy[seller] == LEAD
        return jax.tree.map(lambda a, b: jnp.where(mine, a, b), bad, rest)

    hyper = {"strategy": 0.0, "code": 0.0, "wild": 0.0}
    remembers = observe if leaders.observe else None
    return Attack(forge, poison, hyper=hyper, init_state=leaders.init_state, observe=remembers)
