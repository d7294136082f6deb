"""The market as a game: what each role earns when everybody plays as a profile says.

Joins the rooms for audits (`scripts/best_response.py`, `scripts/evolve.py`). What sellers may do is
in `strategies.py`, auction and vote alone in `games.py`, statistics of payoffs in
`incentives/best_response.py`.
"""

import dataclasses
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from d2m_jax import ledger as books
from d2m_jax.audit.strategies import HONEST
from d2m_jax.cone import Behaviour
from d2m_jax.config.hparams import HParams
from d2m_jax.config.population import Population
from d2m_jax.core.types import Key
from d2m_jax.data import Examples, FederatedData
from d2m_jax.ledger import Layout
from d2m_jax.ledger.rules import BPS
from d2m_jax.market.engine import Market
from d2m_jax.market.roles import Profile
from d2m_jax.market.state import MarketOutcome


def play(
    hparams: HParams,
    sellers: jax.Array,
    nodes: jax.Array,
    tag_liars: jax.Array | None = None,
    strangers: jax.Array | None = None,
) -> HParams:
    """`hparams` (as arrays) in which everybody's strategy is given by name.

    Args:
        hparams: of a market made with a `repertoire` or with `led`, whose other numbers are kept;
            its declared f is kept if it is given.
        sellers: [N] int32, entries of the repertoire, or `strategies.LEAD`.
        nodes: [C] int32, `cone.Behaviour`.
        tag_liars: [N] bool, sellers of other data that claim the requested tags; default nobody.
        strangers: [N] bool, sellers of other data that say so; default nobody.
    """
    bad, nobody = sellers != HONEST, jnp.zeros(sellers.shape, bool)
    profile = Profile(
        bad,
        nobody if tag_liars is None else tag_liars,
        nobody if strangers is None else strangers,
        nodes,
    )
    attack = dict(hparams.attack)
    if "strategy" in attack:
        attack["strategy"] = sellers.astype(jnp.float32)
    return dataclasses.replace(hparams, population=cast(Population, profile), attack=attack)


class Payoffs(NamedTuple):
    """What one market paid, per party."""

    sellers: jax.Array  # [N] int32, change of balance and stake
    rounds: jax.Array  # [N] int32, rounds in which the seller was drawn
    slashed: jax.Array  # [N] bool
    nodes: jax.Array  # [C] int32
    buyers: jax.Array  # [U] int32, without the worth of the model
    winner: jax.Array  # [] int32
    settled: jax.Array  # [] bool
    accuracy: jax.Array  # [] float32, on the test set


def payoffs(outcome: MarketOutcome, layout: Layout) -> Payoffs:
    """Reads the payoffs off a finished market."""
    change = books.wealth(outcome.ledger) - books.wealth(outcome.opening)
    info = outcome.rounds
    who = jnp.where(info.present, info.sellers, layout.num_sellers)
    drawn = jnp.zeros(layout.num_sellers, jnp.int32).at[who.reshape(-1)].add(1, mode="drop")
    return Payoffs(
        sellers=change[layout.sellers],
        rounds=drawn,
        slashed=outcome.closing.slashed,
        nodes=change[layout.nodes],
        buyers=change[: layout.num_buyers],
        winner=outcome.ledger.jobs.buyer[0],
        settled=outcome.phase == books.Phase.SETTLED,
        accuracy=outcome.test_accuracy,
    )


def random_others(
    key: Key, num: int, strategies: jax.Array, share: jax.Array | None = None
) -> jax.Array:
    """A random profile: a random share of the parties misbehaves, each in a random way.

    Args:
        key: consumed.
        num: parties.
        strategies: [P] int32 codes of misbehaviour.
        share: [] of those who misbehave; by default uniform in [0, 1].

    Returns:
        [num] int32 codes, 0 for honest.
    """
    share_key, who_key, kind_key = jax.random.split(key, 3)
    share = jax.random.uniform(share_key) if share is None else share
    kind = jax.random.choice(kind_key, strategies, (num,))
    return jnp.where(jax.random.uniform(who_key, (num,)) < share, kind, 0).astype(jnp.int32)


class Play(NamedTuple):
    """One profile of a whole market, for `market_game`."""

    sellers: jax.Array  # [N] int32, entries of the repertoire, or `strategies.LEAD`
    nodes: jax.Array  # [C] int32, `cone.Behaviour`
    rows: jax.Array  # [N, M] int32, who holds which rows of the pool
    sizes: jax.Array  # [N] int32; 0 for an account that stays away
    deposit: jax.Array  # [] int32, locked from each seller
    size_lie_bps: jax.Array  # [N] int32, of the sellers that are not honest
    false_dispute: jax.Array  # [] float32, probability that the winner disputes for no reason
    wrong_labels: jax.Array  # [] int32, added to the labels of the buyer's verdict examples
    withheld: jax.Array  # [] float32, probability that the buyer keeps its verdict examples back
    tag_liars: jax.Array  # [N] bool, sellers of other data that claim the requested tags
    strangers: jax.Array  # [N] bool, sellers of other data that say so


def honest_play(market: Market, hparams: HParams, data: FederatedData) -> Play:
    """The profile in which everybody is honest."""
    spec = market.spec
    return Play(
        sellers=jnp.zeros(spec.num_sellers, jnp.int32),
        nodes=jnp.full(spec.num_nodes, Behaviour.HONEST, jnp.int32),
        rows=data.index,
        sizes=data.sizes,
        deposit=jnp.asarray(hparams.rules["seller_deposit"], jnp.int32),
        size_lie_bps=jnp.full(spec.num_sellers, BPS, jnp.int32),
        false_dispute=jnp.float32(0),
        wrong_labels=jnp.int32(0),
        withheld=jnp.float32(0),
        tag_liars=jnp.zeros(spec.num_sellers, bool),
        strangers=jnp.zeros(spec.num_sellers, bool),
    )


def market_game(
    market: Market, key: Key, profile: Play, hparams: HParams, data: FederatedData
) -> Payoffs:
    """Payoffs of a whole market in which everybody plays as the profile says.

    Args:
        market: made with `attack=repertoire(...)` or `attack=led(...)`.
        key: of the run; the same key means the same auction, model, draws and votes.
        profile: who does what; may be batched.
        hparams: from `as_arrays`.
        data: of all parties.
    """
    labels = (data.verdict.labels + profile.wrong_labels) % market.model.num_classes
    data = dataclasses.replace(
        data,
        index=profile.rows,
        sizes=profile.sizes,
        verdict=Examples(data.verdict.images, labels),
    )
    conduct = dataclasses.replace(
        hparams.conduct,
        size_lie_bps=profile.size_lie_bps,
        false_dispute=profile.false_dispute,
        withheld_metric=profile.withheld,
    )
    hparams = dataclasses.replace(
        play(hparams, profile.sellers, profile.nodes, profile.tag_liars, profile.strangers),
        conduct=conduct,
        rules={**hparams.rules, "seller_deposit": profile.deposit},
    )
    return payoffs(market.run(key, hparams, data), market.layout)
