"""Coalitions of nodes that learn what each member does. Read first: `training.py`; votes, disputes
and money are the market's own (`audit/games.py`)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import cone
from d2m_jax import ledger as books
from d2m_jax.audit.games import node_game
from d2m_jax.audit.learned.training import Game
from d2m_jax.cone import Behaviour
from d2m_jax.core.types import Key, PyTree

KINDS = (
    Behaviour.HONEST,
    Behaviour.COLLUDE,
    Behaviour.LONE_LIAR,
    Behaviour.SILENT,
    Behaviour.COPY,
    Behaviour.ADAPTIVE,
)


def behaviours_of(policy: jax.Array, members: int) -> jax.Array:
    """[members] int32: what each member does, in shares softmax(policy), rounded by place.

    Args:
        policy: [len(KINDS)] logits.
        members: of the coalition, static.
    """
    ends = jnp.cumsum(jax.nn.softmax(policy))
    places = (jnp.arange(members, dtype=jnp.float32) + 0.5) / members
    return jnp.asarray(KINDS, jnp.int32)[jnp.searchsorted(ends[:-1], places)]


def node_coalition(
    rules: books.Rules,
    params: cone.ConeParams,
    *,
    num_nodes: int,
    members: int,
    num_rounds: int,
    execution_cost: float,
    outside_gain: float = 0.0,
    **options: Any,
) -> Game:
    """Mean income of the members of a coalition among honest nodes, less what executing costs.

    Args:
        rules: terms; `num_rounds` as for `node_game`.
        params: of CONE.
        num_nodes: C.
        members: of the coalition.
        num_rounds: of a job.
        execution_cost: units of one execution.
        outside_gain: units that an accepted wrong result is worth to the coalition, once a job.
        **options: further arguments of `node_game`.
    """

    def one(policy: jax.Array, key: Key, given: PyTree) -> jax.Array:
        del given
        others = jnp.full(num_nodes - members, Behaviour.HONEST, jnp.int32)
        behaviour = jnp.concatenate([behaviours_of(policy, members), others])
        played = node_game(
            key,
            behaviour,
            params,
            rules,
            rules.node_stake,
            1.0,
            num_rounds=num_rounds,
            **options,
        )
        spoilt = (played.wins[:members] > 0).any() & ~played.upheld
        income = played.money[:members].astype(jnp.float32).mean()
        income -= execution_cost * played.executed[:members].astype(jnp.float32).mean()
        return income + jnp.where(spoilt, outside_gain / members, 0.0)

    honest = np.zeros(len(KINDS), np.float32)
    honest[0] = 12.0
    undecided = np.zeros(len(KINDS), np.float32)
    name = "node" if members == 1 else f"coalition of {members} nodes"
    return Game(name, honest, jax.vmap(one, (None, 0, None)), tell, undecided, 2.0)


def tell(policy: np.ndarray) -> str:
    """What the members do, in words."""
    shares = np.exp(policy - np.max(policy))
    shares = shares / shares.sum()
    parts = [
        f"{share:.0%} {kind.name.lower().replace('_', ' ')}"
        for share, kind in zip(shares, KINDS)
        if share >= 0.02
    ]
    return ", ".join(parts)
