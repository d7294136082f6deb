"""Buyers that learn when to dispute, and when to seal and to reveal. Read first: `training.py`.

The answers are known: a dispute of a right result loses its bond; one of a wrong result pays as
long as who judges it is not captured; and inside the windows of an auction the hour is nothing,
outside them all is lost. Votes, disputes and money are the market's own.
"""

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
from d2m_jax.ledger import Layout
from d2m_jax.ledger.rules import BPS
from d2m_jax.market.auction import EXAMPLES, MODEL
from d2m_jax.market.roles import ANYBODY, REQUEST_TAGS

LONGEST = 1.5  # of a window: so late can a buyer be
PLAYER, RIVAL = 0, 1


def dispute_game(
    rules: books.Rules,
    params: cone.ConeParams,
    *,
    num_nodes: int,
    liars: int,
    num_rounds: int,
    **options: Any,
) -> Game:
    """What a buyer gains by disputes; in every second world or so nodes lie, else none does.

    The policy is two logits: how likely it disputes a right and a wrong result. It knows which is
    which, since it can recompute.

    Args:
        rules: terms.
        params: of CONE.
        num_nodes: C.
        liars: nodes that collude, where there are any.
        num_rounds: of a job.
        **options: further arguments of `node_game`.
    """

    def one(policy: jax.Array, key: Key, given: PyTree) -> jax.Array:
        del given
        which, key = jax.random.split(key)
        lies = jax.random.bernoulli(which)
        bad = (jnp.arange(num_nodes) < liars) & lies
        behaviour = jnp.where(bad, Behaviour.COLLUDE, Behaviour.HONEST).astype(jnp.int32)
        of_right, of_wrong = jax.nn.sigmoid(policy)
        played = node_game(
            key, behaviour, params, rules, rules.node_stake, of_wrong, num_rounds=num_rounds,
            false_dispute=of_right, **options,
        )  # fmt: skip
        return played.buyer.astype(jnp.float32)

    honest, start = np.array([-12.0, 12.0], np.float32), np.zeros(2, np.float32)
    return Game("buyer, disputes", honest, jax.vmap(one, (None, 0, None)), tell, start, 2.0)


def rates_of(policy: np.ndarray) -> np.ndarray:
    """[2] how likely a right and a wrong result is disputed."""
    return 1 / (1 + np.exp(-np.asarray(policy, np.float64)))


def tell(policy: np.ndarray) -> str:
    """When the buyer disputes, in words."""
    of_right, of_wrong = rates_of(policy)
    return f"disputes {of_right:.0%} of the right results, {of_wrong:.0%} of the wrong ones"


def hours_of(policy: jax.Array, rules: books.Rules) -> tuple[jax.Array, jax.Array]:
    """[] and [] int32: block of the seal, and of the reveal after the window of the seals."""
    share = LONGEST * jax.nn.sigmoid(policy)
    seal = jnp.floor(share[0] * rules.auction_window.astype(jnp.float32)).astype(jnp.int32)
    shown = jnp.floor(share[1] * rules.reveal_window.astype(jnp.float32)).astype(jnp.int32)
    return seal, shown


def timing_game(rules: books.Rules, *, top: int) -> Game:
    """A truthful buyer that learns when to seal and when to reveal, against one that is in time.

    Who seals late is refused. Who reveals late burns a share of its deposit.

    Args:
        rules: terms, `sealed` = 1 and `second_price` = 1.
        top: values are uniform on 1 .. top - 1.
    """

    def one(policy: jax.Array, key: Key, given: PyTree) -> jax.Array:
        del given
        value_key, salt_key = jax.random.split(key)
        values = jax.random.randint(value_key, (2,), 1, top)
        salts = jax.random.randint(salt_key, (2,), 0, 2**30, jnp.int32)
        return _worth(rules, values, salts, *hours_of(policy, rules))

    honest, start = np.array([-12.0, -12.0], np.float32), np.array([2.0, 2.0], np.float32)
    return Game("buyer, timing", honest, jax.vmap(one, (None, 0, None)), tell_hours, start, 2.0)


def _worth(
    rules: books.Rules, values: jax.Array, salts: jax.Array, seal: jax.Array, shown: jax.Array
) -> jax.Array:
    """[] float32: value less price for the player if it wins, less what is burned."""
    layout, funds = Layout(2, 1, 1), 2**27
    ledger = books.new_ledger(layout, buyer_funds=funds, seller_funds=0, node_funds=0)

    def content(buyer: int) -> dict[str, Any]:
        said = {"amount": values[buyer], "tau_bps": jnp.int32(BPS), "model": MODEL}
        said |= {"metric": books.digest_of(*EXAMPLES), "salt": salts[buyer]}
        return {"job": 0, "buyer": buyer, **said}

    def sealed(ledger: books.Ledger, buyer: int) -> books.Ledger:
        return books.seal(
            ledger, rules, buyer=buyer, job=0, tags=REQUEST_TAGS, deposit=values[buyer],
            commitment=books.commitment_of(**content(buyer)),
        )[0]  # fmt: skip

    def until(ledger: books.Ledger, block: jax.Array) -> books.Ledger:
        wait = jnp.maximum(block - ledger.block, 0)
        return books.advance(ledger, rules, blocks=wait)[0]

    ends = rules.auction_window + rules.reveal_window
    ledger = until(sealed(ledger, RIVAL), seal)
    ledger = until(sealed(ledger, PLAYER), rules.auction_window)
    ledger = books.reveal(ledger, rules, **content(RIVAL))[0]
    ledger = until(ledger, jnp.maximum(rules.auction_window + shown, ledger.block))
    ledger = books.reveal(ledger, rules, **content(PLAYER))[0]
    ledger = until(ledger, ends)
    ledger = books.close_auction(ledger, rules, actor=ANYBODY, job=0)[0]
    job = jax.tree.map(lambda x: x[0], ledger.jobs)
    wins = jnp.where(job.buyer == PLAYER, values[PLAYER] - job.price, 0)
    return (wins + ledger.balances[PLAYER] - funds).astype(jnp.float32)


def tell_hours(policy: np.ndarray) -> str:
    """When the buyer acts, in words."""
    seal, shown = LONGEST / (1 + np.exp(-np.asarray(policy, np.float64)))
    return f"seals at {seal:.0%} of the window, reveals at {shown:.0%}"
