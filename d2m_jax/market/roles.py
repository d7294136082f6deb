"""Who is who in one world: which sellers and nodes misbehave.

Not here: how many (`config/population.py`), what they do (`attacks/`, `cone/behaviours.py`).
"""

import jax
import jax.numpy as jnp
from flax import struct

from d2m_jax.attacks.market import claimed_tags
from d2m_jax.cone import Behaviour
from d2m_jax.config.population import Population
from d2m_jax.core.types import Key

REQUEST_TAGS = 0b0011  # what the buyers of the simulated job ask for
OTHER_TAGS = 0b0101  # what a seller of other data holds: it covers only part of the request


class Roles(struct.PyTreeNode):
    """Who does what, drawn for one world or given name by name."""

    byzantine: jax.Array  # [N] bool
    tag_liar: jax.Array  # [N] bool
    stranger: jax.Array  # [N] bool
    behaviour: jax.Array  # [C] int32, codes of `cone.Behaviour`

    @property
    def bad_seller(self) -> jax.Array:
        """[N] bool: Byzantine or lying about its tags."""
        return self.byzantine | self.tag_liar

    @property
    def tags(self) -> jax.Array:
        """[N] int32: the tags each seller registers, true or not."""
        truth = jnp.where(self.stranger | self.tag_liar, OTHER_TAGS, REQUEST_TAGS)
        return claimed_tags(truth.astype(jnp.int32), self.tag_liar, REQUEST_TAGS)


def _slots(rank: jax.Array, counts: list[jax.Array | int]) -> list[jax.Array]:
    """Consecutive ranks to consecutive kinds: kind i holds `counts[i]` of the ranks."""
    start = jnp.int32(0)
    kinds = []
    for count in counts:
        kinds.append((rank >= start) & (rank < start + count))
        start = start + count
    return kinds


def _order(key: Key, count: int) -> jax.Array:
    """[count] int32: 0 to count - 1 in random order."""
    return jax.random.permutation(key, jnp.arange(count, dtype=jnp.int32))


def draw_roles(key: Key, population: Population, num_sellers: int, num_nodes: int) -> Roles:
    """Draws who misbehaves, uniformly, exactly as many as asked for.

    Args:
        key: consumed.
        population: counts, traced; their sums are checked by `validate`.
        num_sellers: N.
        num_nodes: C.
    """
    seller_key, node_key = jax.random.split(key)
    who = population
    byzantine, tag_liar, stranger = _slots(
        _order(seller_key, num_sellers),
        [who.num_byzantine, who.num_tag_liars, who.num_strangers],
    )
    kinds = {
        Behaviour.COLLUDE: who.num_colluding,
        Behaviour.LONE_LIAR: who.num_lone_liars,
        Behaviour.SILENT: who.num_silent,
        Behaviour.COPY: who.num_copying,
        Behaviour.ADAPTIVE: who.num_adaptive,
    }
    behaviour = jnp.select(
        _slots(_order(node_key, num_nodes), list(kinds.values())),
        [jnp.int32(kind) for kind in kinds],
        jnp.int32(Behaviour.HONEST),
    )
    return Roles(byzantine, tag_liar, stranger, behaviour)
