"""One attack that stands for many: which of them acts is an index that is not batched.

`lax.switch` on an index that all worlds of a `vmap` share runs the chosen branch only; on a batched
index it would run them all. Read next: `sweep/program.py`, `strategies.one_of`.
"""

from collections.abc import Sequence
from typing import Any

import jax

from d2m_jax.attacks.base import Attack
from d2m_jax.core.types import Key, PyTree


def switched_attack(attacks: Sequence[Attack], index: jax.Array) -> Attack:
    """An attack that behaves as `attacks[index]`.

    Its numbers are those of all attacks, each set under the place of its attack: `hyper["3"]` is
    the dictionary of the fourth. Its memory is the tuple of all memories.

    Args:
        attacks: in the order of the index.
        index: [] int32, the same for all worlds of a `vmap`.
    """

    def forge(
        key: Key, updates: jax.Array, byzantine: jax.Array, *, context: Any, **hyper: Any
    ) -> jax.Array:
        def branch(place: int, attack: Attack) -> Any:
            def run(key: Key, updates: jax.Array, byzantine: jax.Array) -> jax.Array:
                if attack.forge is None:
                    return updates
                view = context._replace(state=context.state[place])
                return attack.forge(key, updates, byzantine, context=view, **hyper[str(place)])

            return run

        branches = [branch(place, attack) for place, attack in enumerate(attacks)]
        return jax.lax.switch(index, branches, key, updates, byzantine)

    def poison(
        key: Key,
        images: jax.Array,
        labels: jax.Array,
        num_classes: int,
        *,
        seller: jax.Array,
        **hyper: Any,
    ) -> tuple[jax.Array, jax.Array]:
        def branch(place: int, attack: Attack) -> Any:
            def run(key: Key, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
                if attack.poison is None:
                    return images, labels
                return attack.poison(
                    key, images, labels, num_classes, seller=seller, **hyper[str(place)]
                )

            return run

        branches = [branch(place, attack) for place, attack in enumerate(attacks)]
        return jax.lax.switch(index, branches, key, images, labels)

    def init_state(num_params: int) -> PyTree:
        return tuple(a.init_state(num_params) if a.init_state else () for a in attacks)

    def observe(
        memory: PyTree, updates: jax.Array, byzantine: jax.Array, *, context: Any, **hyper: Any
    ) -> PyTree:
        def branch(place: int, attack: Attack) -> Any:
            def run(memory: PyTree, updates: jax.Array, byzantine: jax.Array) -> PyTree:
                if attack.observe is None:
                    return memory
                view = context._replace(state=memory[place])
                new = attack.observe(
                    memory[place], updates, byzantine, context=view, **hyper[str(place)]
                )
                return (*memory[:place], new, *memory[place + 1 :])

            return run

        branches = [branch(place, attack) for place, attack in enumerate(attacks)]
        return jax.lax.switch(index, branches, memory, updates, byzantine)

    return Attack(
        forge=forge if any(a.forge for a in attacks) else None,
        poison=poison if any(a.poison for a in attacks) else None,
        init_state=init_state,
        observe=observe if any(a.observe for a in attacks) else None,
    )
