"""What rooms hand to each other: a rule with its memory. Not here: the rules (`aggregation/`).

`*given: Any, **numbers: Any` at the end of a signature stands for keywords that a part chooses
itself.
"""

from typing import Any, NamedTuple, Protocol

import jax

from d2m_jax.core.types import Count, PyTree


class RuleFn(Protocol):
    """A rule without memory."""

    def __call__(self, updates: jax.Array, f: Count, /, *given: Any, **numbers: Any) -> jax.Array:
        """The aggregate `[D]`.

        Args:
            updates: `[S, D]`, present rows finite.
            f: rows that may be Byzantine.
            given: nothing.
            numbers: `mask=None` `[S]` bool, what the rule uses (`key`, `root`, `losses`,
                `losses_of`, `outputs_of`, `layers`) and its own numbers.
        """


class LossesOf(Protocol):
    """The validation loss after a step along each of some updates."""

    def __call__(self, updates: jax.Array, /) -> jax.Array:
        """Losses `[K]` for updates `[K, D]`; it has a gradient."""


class OutputsOf(Protocol):
    """What the model says of random inputs after a step along each of some updates."""

    def __call__(self, updates: jax.Array, /) -> jax.Array:
        """Logits `[K, B, L]` on B random inputs for updates `[K, D]`."""


class InitMemory(Protocol):
    """The memory of a rule before the first round."""

    def __call__(self, num_sellers: int, dim: int, /, *given: Any, **numbers: Any) -> PyTree:
        """The memory for N sellers and D parameters, () for a rule without.

        `dtype=`, float32 when it is not given, is that of the updates it will see.
        """


class Apply(Protocol):
    """A rule with memory, on the updates of one round."""

    def __call__(
        self,
        memory: PyTree,
        updates: jax.Array,
        f: Count,
        mask: jax.Array | None = None,
        /,
        *given: Any,
        **numbers: Any,
    ) -> tuple[jax.Array, PyTree]:
        """The aggregate `[D]` and the next memory.

        Args:
            memory: as `init` or the round before made it.
            updates: `[S, D]`.
            f: rows that may be Byzantine.
            mask: `[S]` bool, True for present rows; None for all.
            given: nothing.
            numbers: `indices [S]`, `key`, `root [D]`, `losses [S]` and the function `losses_of`, of
                which a rule must be given those in its `uses`; `layers`, sizes that sum to D,
                for rules that tell layers apart; `outputs_of`, on random inputs; and numbers of
                the rule.
        """


class Aggregator(NamedTuple):
    """A rule with everything before it, as a pair of pure functions."""

    init: InitMemory
    apply: Apply
    uses: tuple[str, ...] = ()  # what `apply` has to be given, of its keywords
