"""The market as a game: what each role could do instead of being honest, and what it then earns.

Joins the rooms for audits (`scripts/best_response.py`, `scripts/evolve.py`): a repertoire of seller
strategies picked by a traced code, and the payoffs of a whole market. Auction and vote alone are in
`games.py`, statistics of payoffs in `incentives/best_response.py`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from d2m_jax import ledger as books
from d2m_jax.attacks import ATTACKS, Attack, AttackContext
from d2m_jax.cone import Behaviour
from d2m_jax.data import Examples, FederatedData
from d2m_jax.games import wealth
from d2m_jax.hparams import HParams
from d2m_jax.ledger import Layout
from d2m_jax.ledger.rules import BPS
from d2m_jax.market import Market
from d2m_jax.names import lookup
from d2m_jax.population import Population, Profile
from d2m_jax.records import MarketOutcome
from d2m_jax.types import Key, Number

HONEST = 0
EFFORT = {  # share of the training work that a strategy still does; everything else does all of it
    "half_effort": 0.5,
    "gaussian": 0.0,
    "free_rider_zero": 0.0,
    "free_rider_replay": 0.0,
    "free_rider_disguised": 0.0,
    "mimic": 0.0,
    "nan": 0.0,
    "inf": 0.0,
    "huge": 0.0,
}


def half_effort(
    key: Key, images: jax.Array, labels: jax.Array, num_classes: int, **_: Any
) -> tuple[jax.Array, jax.Array]:
    """A seller that computes on half of its batch only: the second half repeats the first."""
    del key, num_classes
    rows = jnp.arange(labels.shape[0]) % max(labels.shape[0] // 2, 1)
    return images[rows], labels[rows]


def seller_strategies(names: tuple[str, ...]) -> dict[str, Attack]:
    """The named strategies of a seller; "honest" comes first and need not be named.

    A name is "half_effort", "false_size" (honest work; the seller misbehaves, so that
    `Play.size_lie_bps` applies to it) or one of `ATTACKS` that keeps no memory and does not search
    against the rule (those are audited one at a time, as `spec.attack`).

    Raises:
        ValueError: an unknown name, or an attack that cannot be picked by a code.
    """
    known = {**ATTACKS, "half_effort": Attack(poison=half_effort), "false_size": Attack()}
    chosen = {"honest": Attack()}
    for name in names:
        attack = lookup(known, name, "seller strategy")
        if attack.observe is not None or "defence" in attack.needs:
            raise ValueError(
                f"seller strategy {name!r} remembers or searches; run it as spec.attack instead"
            )
        chosen[name] = attack
    return chosen


def repertoire(
    strategies: Mapping[str, Attack], numbers: Mapping[str, Mapping[str, Number]] | None = None
) -> Attack:
    """One attack whose number `strategy` [N] says which entry each seller plays.

    Every entry is computed in every round and the right row taken, so that one program serves all
    profiles; with the strategies of the default list that costs about as much as the round itself.

    Args:
        strategies: name to attack, honest first.
        numbers: other numbers than the defaults of each attack.
    """
    hyper = {
        name: {**attack.hyper, **(numbers or {}).get(name, {})}
        for name, attack in strategies.items()
    }

    def forge(
        key: Key,
        updates: jax.Array,
        byzantine: jax.Array,
        *,
        context: AttackContext,
        strategy: jax.Array,
    ) -> jax.Array:
        code = strategy[context.ids]
        result = updates
        for index, (name, attack) in enumerate(strategies.items()):
            if attack.forge is not None:
                mine = byzantine & (code == index)
                key_k = jax.random.fold_in(key, index)
                forged = attack.forge(key_k, updates, mine, context=context, **hyper[name])
                result = jnp.where(mine[:, None], forged, result)
        return result

    def poison(
        key: Key,
        images: jax.Array,
        labels: jax.Array,
        num_classes: int,
        *,
        seller: jax.Array,
        strategy: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        result = images, labels
        for index, (name, attack) in enumerate(strategies.items()):
            if attack.poison is not None:
                bad = attack.poison(key, images, labels, num_classes, seller=seller, **hyper[name])
                mine = strategy[seller] == index
                result = jax.tree.map(lambda a, b, m=mine: jnp.where(m, a, b), bad, result)
        return result

    return Attack(forge, poison, hyper={"strategy": 0.0})


def play(hparams: HParams, sellers: jax.Array, nodes: jax.Array) -> HParams:
    """`hparams` (as arrays) in which everybody's strategy is given by name.

    Args:
        hparams: of a market made with a `repertoire`; its declared f is kept if it is given.
        sellers: [N] int32, entries of the repertoire.
        nodes: [C] int32, `cone.Behaviour`.
    """
    bad = sellers != HONEST
    profile = Profile(bad, jnp.zeros_like(bad), nodes)
    strategy = {"strategy": sellers.astype(jnp.float32)}
    return dataclasses.replace(
        hparams, population=cast(Population, profile), attack=cast(dict, strategy)
    )


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
    change = wealth(outcome.ledger) - wealth(outcome.opening)
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

    sellers: jax.Array  # [N] int32, entries of the repertoire
    nodes: jax.Array  # [C] int32, `cone.Behaviour`
    rows: jax.Array  # [N, M] int32, who holds which rows of the pool
    sizes: jax.Array  # [N] int32; 0 for an account that stays away
    deposit: jax.Array  # [] int32, locked from each seller
    size_lie_bps: jax.Array  # [] int32, of the sellers that are not honest
    false_dispute: jax.Array  # [] float32, probability that the winner disputes for no reason
    wrong_labels: jax.Array  # [] int32, added to the labels of the buyer's verdict examples


def honest_play(market: Market, hparams: HParams, data: FederatedData) -> Play:
    """The profile in which everybody is honest."""
    spec = market.spec
    return Play(
        sellers=jnp.zeros(spec.num_sellers, jnp.int32),
        nodes=jnp.full(spec.num_nodes, Behaviour.HONEST, jnp.int32),
        rows=data.index,
        sizes=data.sizes,
        deposit=jnp.asarray(hparams.rules["seller_deposit"], jnp.int32),
        size_lie_bps=jnp.int32(BPS),
        false_dispute=jnp.float32(0),
        wrong_labels=jnp.int32(0),
    )


def market_game(
    market: Market, key: Key, profile: Play, hparams: HParams, data: FederatedData
) -> Payoffs:
    """Payoffs of a whole market in which everybody plays as the profile says.

    Args:
        market: made with `attack=repertoire(...)`.
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
    )
    hparams = dataclasses.replace(
        play(hparams, profile.sellers, profile.nodes),
        conduct=conduct,
        rules={**hparams.rules, "seller_deposit": profile.deposit},
    )
    return payoffs(market.run(key, hparams, data), market.layout)
