"""Who is who in one world: which sellers and nodes misbehave.

Not here: how many (`config/population.py`), what they do (`attacks/`, `cone/behaviours.py`).
"""

import jax
import jax.numpy as jnp
from flax import struct

from d2m_jax.attacks.market import claimed_tags
from d2m_jax.cone import Behaviour
from d2m_jax.config.population import Population
from d2m_jax.config.spec import Spec
from d2m_jax.core.types import Key

ANYBODY = 0  # the account that does what every account may do
REQUEST_TAGS = 0b0011  # what the buyers of the simulated job ask for
OTHER_TAGS = 0b0101  # what a seller of other data holds: it covers only part of the request
ALL_TAGS = 2**31 - 1  # what a seller claims that lies in a market of several jobs
NO_TAGS = 2**30  # of several jobs: what a seller of other data holds, which no job asks for


class Roles(struct.PyTreeNode):
    """Who does what, drawn for one world or given name by name."""

    byzantine: jax.Array  # [N] bool
    tag_liar: jax.Array  # [N] bool
    stranger: jax.Array  # [N] bool
    behaviour: jax.Array  # [C] int32, codes of `cone.Behaviour`
    holds: jax.Array | None = None  # [N] int32, tags of the data; None: those of a single job
    owners: jax.Array | None = None  # [N] int32, whose unit it is, -1 nobody's; None: accounts

    @property
    def bad_seller(self) -> jax.Array:
        """[N] bool: Byzantine or lying about its tags."""
        return self.byzantine | self.tag_liar

    @property
    def tags(self) -> jax.Array:
        """[N] int32: the tags each seller registers, true or not."""
        if self.holds is not None:
            return claimed_tags(self.holds, self.tag_liar, ALL_TAGS)
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


def draw_roles(key: Key, population: Population, spec: Spec, tags: jax.Array) -> Roles:
    """Draws who misbehaves, uniformly, exactly as many as asked for; of several jobs who serves.

    Args:
        key: consumed.
        population: counts, traced; their sums are checked by `validate`.
        spec: N, C and J.
        tags: [J] int32, what each job asks for.
    """
    num_sellers, num_nodes = spec.num_sellers, spec.num_nodes
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
    roles = Roles(byzantine, tag_liar, stranger, behaviour)
    if spec.num_jobs == 1:
        return roles
    served = draw_holdings(jax.random.fold_in(seller_key, num_sellers), tags, who.breadth, spec)
    return roles.replace(holds=jnp.where(stranger | tag_liar, NO_TAGS, served))


def of_units(roles: Roles, owners: jax.Array) -> Roles:
    """The roles of owners as those of their units; a slot that nobody fills is honest.

    Args:
        roles: of the accounts.
        owners: [N] int32, -1 for an empty slot.
    """
    filled, account = owners >= 0, jnp.maximum(owners, 0)
    return roles.replace(
        byzantine=roles.byzantine[account] & filled,
        tag_liar=roles.tag_liar[account] & filled,
        stranger=roles.stranger[account] & filled,
        holds=None if roles.holds is None else roles.holds[account],
        owners=owners,
    )


def draw_holdings(key: Key, tags: jax.Array, breadth: jax.Array | int, spec: Spec) -> jax.Array:
    """[N] int32: the tags of every seller's data, those of `breadth` jobs that stand in a circle.

    Sellers are dealt to the jobs in turn, in random order, so that each job has as many.

    Args:
        key: consumed.
        tags: [J] int32.
        breadth: [] from 1 to J.
        spec: N and J.
    """
    first = jax.random.permutation(key, spec.num_sellers).astype(jnp.int32)
    away = (jnp.arange(spec.num_jobs, dtype=jnp.int32)[None] - first[:, None]) % spec.num_jobs
    held: jax.Array = jnp.bitwise_or.reduce(jnp.where(away < breadth, tags[None], 0), axis=1)
    return held
