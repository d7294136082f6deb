"""The market as a game: what each role earns when everybody plays as a profile says.

Joins the rooms for audits (`scripts/best_response.py`, `scripts/evolve.py`). What sellers may do is
in `strategies.py`, auction and vote alone in `games.py`, statistics of payoffs in
`incentives/best_response.py`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax import ledger as books
from d2m_jax.attacks import Attack
from d2m_jax.audit.strategies import HONEST
from d2m_jax.cone import Behaviour
from d2m_jax.config.hparams import HParams
from d2m_jax.core.money import units
from d2m_jax.core.types import Batch, Key
from d2m_jax.data import FederatedData
from d2m_jax.ledger import Layout
from d2m_jax.ledger.rules import BPS
from d2m_jax.market.engine import Market, market_of
from d2m_jax.market.roles import Roles
from d2m_jax.market.state import MarketOutcome


def roles_of(
    sellers: jax.Array,
    nodes: jax.Array,
    tag_liars: jax.Array | None = None,
    strangers: jax.Array | None = None,
) -> Roles:
    """Everybody's role when everybody's strategy is given by name.

    Args:
        sellers: [N] int32, entries of the repertoire, or `strategies.LEAD`.
        nodes: [C] int32, `cone.Behaviour`.
        tag_liars: [N] bool, sellers of other data that claim the requested tags; default nobody.
        strangers: [N] bool, sellers of other data that say so; default nobody.
    """
    nobody = jnp.zeros(sellers.shape, bool)
    return Roles(
        byzantine=sellers != HONEST,
        tag_liar=nobody if tag_liars is None else tag_liars,
        stranger=nobody if strangers is None else strangers,
        behaviour=nodes,
    )


class Payoffs(NamedTuple):
    """What one market paid, per party."""

    sellers: jax.Array  # [N] units, change of balance and stake
    rounds: jax.Array  # [N] int32, rounds in which the seller was drawn
    slashed: jax.Array  # [N] bool
    nodes: jax.Array  # [C] units
    buyers: jax.Array  # [U] units, without the worth of the model
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
        accuracy=outcome.test_metric,
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
    starts: jax.Array  # [N] int32, where each one's examples begin among all that are held
    sizes: jax.Array  # [N] int32; 0 for an account that stays away
    deposit: jax.Array  # [] units, locked from each seller
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
        sellers=jnp.zeros(spec.num_listings, jnp.int32),
        nodes=jnp.full(spec.num_nodes, Behaviour.HONEST, jnp.int32),
        starts=data.starts,
        sizes=data.sizes,
        deposit=units(hparams.rules["seller_deposit"]),
        size_lie_bps=jnp.full(spec.num_listings, BPS, jnp.int32),
        false_dispute=jnp.float32(0),
        wrong_labels=jnp.int32(0),
        withheld=jnp.float32(0),
        tag_liars=jnp.zeros(spec.num_listings, bool),
        strangers=jnp.zeros(spec.num_listings, bool),
    )


def market_game(
    market: Market,
    attack_of: Callable[[jax.Array], Attack],
    key: Key,
    profile: Play,
    hparams: HParams,
    data: FederatedData,
) -> Payoffs:
    """Payoffs of a whole market in which everybody plays as the profile says.

    Args:
        market: whose attack is replaced.
        attack_of: codes [N] -> what these sellers do, for instance `strategies.repertoire`.
        key: of the run; the same key means the same auction, model, draws and votes.
        profile: who does what; may be batched.
        hparams: from `as_arrays`.
        data: of all parties.
    """
    data = data.replace(
        starts=profile.starts,
        sizes=profile.sizes,
        verdict=with_wrong_labels(data.verdict, profile.wrong_labels, market.model.num_classes),
    )
    conduct = hparams.conduct.replace(
        size_lie_bps=profile.size_lie_bps,
        false_dispute=profile.false_dispute,
        withheld_metric=profile.withheld,
    )
    rules = {**hparams.rules, "seller_deposit": profile.deposit}
    # The numbers of the attack that is replaced are none of the strategies'.
    hparams = hparams.replace(conduct=conduct, rules=rules, attack={})
    roles = roles_of(profile.sellers, profile.nodes, profile.tag_liars, profile.strangers)
    playing = market_of(market.parts._replace(attack=attack_of(profile.sellers)))
    return payoffs(playing.run(key, hparams, data, roles=roles), market.layout)


def with_wrong_labels(batch: Batch, shift: jax.Array, num_classes: int) -> Batch:
    """The examples with every label moved on: to a later class, or to a later example's number."""
    labels = batch["labels"]
    moved = (labels + shift) % num_classes if num_classes else jnp.roll(labels, shift, axis=0)
    return {**batch, "labels": moved}
