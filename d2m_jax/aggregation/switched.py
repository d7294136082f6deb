"""One rule that stands for many: which of them aggregates is an index that is not batched.

`lax.switch` on an index that all worlds of a `vmap` share runs the chosen branch only; on a batched
index it would run them all. Read next: `sweep/program.py`.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax.core.protocols import Aggregator
from d2m_jax.core.types import PyTree


def switched_aggregator(rules: Sequence[Aggregator], index: jax.Array) -> Aggregator:
    """A rule that behaves as `rules[index]`; its memory is the tuple of all memories.

    Args:
        rules: in the order of the index; what they need beside the updates is computed for all.
        index: [] int32, the same for all worlds of a `vmap`.
    """
    uses = tuple(sorted({name for rule in rules for name in rule.uses}))

    def init(num_sellers: int, dim: int, dtype: Any = jnp.float32) -> PyTree:
        return tuple(rule.init(num_sellers, dim, dtype=dtype) for rule in rules)

    def apply(
        memory: PyTree, updates: jax.Array, f: Any, mask: jax.Array | None = None, **given: Any
    ) -> tuple[jax.Array, PyTree]:
        def branch(at: int, rule: Aggregator) -> Any:
            def run(memory: PyTree, updates: jax.Array, f: Any, mask: Any) -> Any:
                total, new = rule.apply(memory[at], updates, f, mask, **given)
                return total, (*memory[:at], new, *memory[at + 1 :])

            return run

        branches = [branch(at, rule) for at, rule in enumerate(rules)]
        return jax.lax.switch(index, branches, memory, updates, f, mask)

    return Aggregator(init, apply, uses)
