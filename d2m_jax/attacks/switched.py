"""One attack that stands for many: which of them acts is an index that is not batched.

`lax.switch` on an index that all worlds of a `vmap` share runs the chosen branch only; on a batched
index it would run them all. Read next: `sweep/program.py`, `strategies.one_of`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax.attacks.base import Attack
from d2m_jax.core.choices import taken
from d2m_jax.core.types import Key, Number, PyTree


def switched_attack(
    attacks: Sequence[Attack],
    index: jax.Array,
    numbers: Sequence[Mapping[str, Number]] | None = None,
) -> Attack:
    """An attack that behaves as `attacks[index]`.

    The numbers of its parts are bound, so it has none itself. Its memory is the tuple of all
    memories.

    Args:
        attacks: in the order of the index.
        index: [] int32, the same for all worlds of a `vmap`.
        numbers: of each attack, in the same order, traced or not; None for the defaults of all.

    Raises:
        ValueError: not as many numbers as attacks.
    """
    numbers = [{}] * len(attacks) if numbers is None else numbers
    if len(numbers) != len(attacks):
        raise ValueError(f"{len(attacks)} attacks need the numbers of each, not {len(numbers)}")

    def bound(name: str) -> list[Any]:
        """That part of every attack with its numbers, None where there is none."""
        parts = [getattr(attack, name) for attack in attacks]
        return [part and partial(part, **taken(part, own)) for part, own in zip(parts, numbers)]

    forges, poisons, observers = bound("forge"), bound("poison"), bound("observe")
    triggers, shorters = bound("trigger"), bound("shorten")

    def forge(key: Key, updates: jax.Array, byzantine: jax.Array, *, context: Any) -> jax.Array:
        def branch(at: int, part: Any) -> Any:
            def run(key: Key, updates: jax.Array, byzantine: jax.Array) -> jax.Array:
                if part is None:
                    return updates
                return part(
                    key, updates, byzantine, context=context._replace(state=context.state[at])
                )

            return run

        return jax.lax.switch(index, _branches(branch, forges), key, updates, byzantine)

    def poison(
        key: Key, inputs: jax.Array, labels: jax.Array, num_classes: int, *, seller: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        def branch(at: int, part: Any) -> Any:
            del at

            def run(key: Key, inputs: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
                if part is None:
                    return inputs, labels
                return part(key, inputs, labels, num_classes, seller=seller)

            return run

        return jax.lax.switch(index, _branches(branch, poisons), key, inputs, labels)

    def init_state(num_params: int) -> PyTree:
        return tuple(a.init_state(num_params) if a.init_state else () for a in attacks)

    def observe(
        memory: PyTree, updates: jax.Array, byzantine: jax.Array, *, context: Any
    ) -> PyTree:
        def branch(at: int, part: Any) -> Any:
            def run(memory: PyTree, updates: jax.Array, byzantine: jax.Array) -> PyTree:
                if part is None:
                    return memory
                view = context._replace(state=memory[at])
                new = part(memory[at], updates, byzantine, context=view)
                return (*memory[:at], new, *memory[at + 1 :])

            return run

        return jax.lax.switch(index, _branches(branch, observers), memory, updates, byzantine)

    def trigger(
        inputs: jax.Array, labels: jax.Array, num_classes: int
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        def branch(at: int, part: Any) -> Any:
            del at

            def run(inputs: jax.Array, labels: jax.Array) -> tuple[jax.Array, ...]:
                if part is None:  # nothing counts
                    return inputs, jnp.zeros((), labels.dtype), jnp.zeros(labels.shape, bool)
                return part(inputs, labels, num_classes)

            return run

        return jax.lax.switch(index, _branches(branch, triggers), inputs, labels)

    def shorten(steps: jax.Array, byzantine: jax.Array) -> jax.Array:
        def branch(at: int, part: Any) -> Any:
            del at
            return part or (lambda steps, byzantine: steps)

        return jax.lax.switch(index, _branches(branch, shorters), steps, byzantine)

    return Attack(
        forge=forge if any(forges) else None,
        poison=poison if any(poisons) else None,
        needs=tuple(sorted({name for attack in attacks for name in attack.needs})),
        data=tuple(sorted({name for attack in attacks for name in attack.data})),
        init_state=init_state,
        observe=observe if any(observers) else None,
        trigger=trigger if any(triggers) else None,
        finite=all(attack.finite for attack in attacks),
        shorten=shorten if any(shorters) else None,
    )


def _branches(branch: Any, parts: Sequence[Any]) -> list[Any]:
    return [branch(at, part) for at, part in enumerate(parts)]
