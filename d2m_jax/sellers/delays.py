"""How late updates are: `delay(key, round_index, sellers [S], **numbers) -> rounds [S] int32`.

An update that is d rounds late was computed at the model of d rounds ago. Pass the same key in
every round: what is drawn anew folds the round in itself. Not here: which models are kept
(`market/lateness.py`). Read next: `availability.py`.
"""

from typing import Any, Protocol

import jax
import jax.numpy as jnp

from d2m_jax.core.types import Key, Number

MOST = 1e6  # rounds; the market cuts delays at `spec.max_delay` long before


class Delay(Protocol):
    """How many rounds late the updates of a round are."""

    def __call__(
        self,
        key: Key,
        round_index: Number,
        sellers: jax.Array,
        /,
        *given: Any,
        **numbers: Any,
    ) -> jax.Array:
        """Rounds `[S]` int32, 0 or more, of the drawn sellers `[S]` int32.

        Args:
            key: of the run, the same in every round.
            round_index: `[]` int32, from 0.
            sellers: `[S]` int32; a seller's delay must not depend on its place among them.
            given: nothing.
            numbers: of the delay.
        """


def constant_delay(
    key: Key, round_index: Number, sellers: jax.Array, *, rounds: Number = 1
) -> jax.Array:
    """Everybody is so many rounds late."""
    del key, round_index  # unused
    return jnp.full(sellers.shape, jnp.asarray(rounds).astype(jnp.int32))


def geometric_delay(
    key: Key, round_index: Number, sellers: jax.Array, *, mean: Number = 2.0
) -> jax.Array:
    """P(d) = (1 - q) q^d with q = mean / (1 + mean): a seller is ready with 1 - q every round."""
    key = jax.random.fold_in(key, round_index)
    return _geometric(jax.vmap(lambda seller: _uniform(key, seller))(sellers), mean)


def by_seller_delay(
    key: Key, round_index: Number, sellers: jax.Array, *, mean: Number = 2.0, spread: Number = 1.0
) -> jax.Array:
    """Geometric, each seller with a mean of its own: fast and slow machines.

    The means are log-normal, mean exp(spread z - spread^2 / 2) with z standard normal, so that
    their mean is `mean`; with spread 0 this is `geometric_delay` in law.
    """
    own, now = jax.random.split(key)
    now = jax.random.fold_in(now, round_index)

    def one(seller: jax.Array) -> jax.Array:
        z = jax.random.normal(jax.random.fold_in(own, seller))
        slow = mean * jnp.exp(spread * z - spread * spread / 2)
        return _geometric(_uniform(now, seller), slow)

    return jax.vmap(one)(sellers)


def _uniform(key: Key, seller: jax.Array) -> jax.Array:
    """In (0, 1]."""
    return 1 - jax.random.uniform(jax.random.fold_in(key, seller))


def _geometric(u: jax.Array, mean: Number) -> jax.Array:
    """The geometric quantile floor(ln u / ln q), at most `MOST`."""
    q = jnp.asarray(mean / (1 + jnp.asarray(mean, u.dtype))).astype(u.dtype)
    late = jnp.floor(jnp.log(u) / jnp.log(jnp.maximum(q, 1e-30)))
    return jnp.minimum(jnp.where(q > 0, late, 0), MOST).astype(jnp.int32)


DELAYS: dict[str, Delay] = {
    "constant": constant_delay,
    "geometric": geometric_delay,
    "by_seller": by_seller_delay,
}
