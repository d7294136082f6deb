"""Buyers that learn to bid: a limit for every value, and one of the conducts. Read first:
`training.py`; the auction is the market's own (`audit/games.py`)."""

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import ledger as books
from d2m_jax.audit.games import auction_game
from d2m_jax.audit.learned.training import Game
from d2m_jax.core.types import Key, PyTree
from d2m_jax.ledger.rules import BPS
from d2m_jax.market.bidding import Bidding

KNOTS = 3  # values, as shares of the largest, at which the limit is a number of the policy
CONDUCTS = (
    Bidding.TRUTHFUL,
    Bidding.JUMP,
    Bidding.ALL_CASH,
    Bidding.SNIPE,
    Bidding.SHILL,
    Bidding.UNREVEALED,
)
MOST = 4.0  # limit over value
PLAYER, SECOND = 0, 1  # accounts; the second one is silent unless it is used


def limit_of(policy: jax.Array, share: jax.Array) -> jax.Array:
    """Limit over value: exp of the line through the knots, in [1 / MOST, MOST].

    Args:
        policy: [KNOTS + len(CONDUCTS)].
        share: [] value over the largest one, in (0, 1].
    """
    places = jnp.arange(1, KNOTS + 1, dtype=jnp.float32) / KNOTS
    bend = jnp.interp(share, places, policy[:KNOTS])
    return jnp.exp(jnp.clip(bend, -np.log(MOST), np.log(MOST)))


def buyer_game(
    auction: str, rules: books.Rules, *, num_buyers: int, top: int, num_blocks: int = 60
) -> Game:
    """One buyer with two accounts among truthful rivals, values uniform on 1 .. top - 1.

    Args:
        auction: name of a format.
        rules: terms.
        num_buyers: owners.
        top: above the largest value, units.
        num_blocks: static, of an ascending auction.
    """
    num = num_buyers + 1
    codes = jnp.asarray(CONDUCTS, jnp.int32)

    def one(policy: jax.Array, key: Key, given: PyTree) -> jax.Array:
        del given
        value_key, order_key = jax.random.split(key)
        values = jax.random.randint(value_key, (num,), 1, top)
        share = values[PLAYER].astype(jnp.float32) / top
        limit = jnp.round(BPS * limit_of(policy, share)).astype(jnp.int32)
        limits = jnp.full(num, BPS, jnp.int32).at[PLAYER].set(limit).at[SECOND].set(0)
        mine = codes[jnp.argmax(policy[KNOTS:])]
        second = jnp.where(mine == Bidding.SHILL, jnp.int32(Bidding.SECOND), Bidding.TRUTHFUL)
        conduct = jnp.full(num, Bidding.TRUTHFUL, jnp.int32).at[PLAYER].set(mine)
        played = auction_game(
            order_key,
            values,
            limits,
            conduct.at[SECOND].set(second),
            rules,
            auction=auction,
            num_blocks=num_blocks,
        )
        return played.utility[PLAYER]

    honest = np.zeros(KNOTS + len(CONDUCTS), np.float32)
    honest[KNOTS] = 0.5  # truthful, unless the search finds better
    return Game(f"buyer, {auction}", honest, jax.vmap(one, (None, 0, None)), tell, honest, 0.3)


def tell(policy: np.ndarray) -> str:
    """What the buyer does, in words."""
    policy = np.asarray(policy)
    limits = ", ".join(
        f"{float(limit_of(jnp.asarray(policy), jnp.float32(i / KNOTS))):.2f}"
        for i in range(1, KNOTS + 1)
    )
    conduct = CONDUCTS[int(np.argmax(policy[KNOTS:]))].name.lower().replace("_", " ")
    return f"bids {limits} of a low, middle, high value; {conduct}"
