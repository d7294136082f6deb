"""A round of a market decided literally: every drawn node computes it again and hashes the model.

The slow twin of the vote in `Market.step`: same sets, same stop rule, real bytes. Not here: draw,
digests and counting (`cone/reexecute.py`), the work of a round (`market/round.py`).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import cone
from d2m_jax import ledger as books
from d2m_jax.config.hparams import HParams
from d2m_jax.data import FederatedData
from d2m_jax.market.apply import apply_result
from d2m_jax.market.engine import Market
from d2m_jax.market.keys import vote_key
from d2m_jax.market.round import learn
from d2m_jax.market.state import JOB, MarketState
from d2m_jax.market.step import scene_of
from d2m_jax.market.variants import deliver_served, stages_of

Serve = Callable[[int, np.ndarray], np.ndarray]  # (node, updates [S, D]) -> what it gets [S, D]


class LiteralRound(NamedTuple):
    """What the literal vote came to, and whom to punish."""

    vote: cone.Reexecution  # `vote.theta` is the accepted model
    sellers: np.ndarray  # [S] int32, who sent the rows that nodes are served
    caught: np.ndarray  # [N] bool, sellers that served other bytes than they published


def deliverer(market: Market) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
    """Returns `(state, hparams, data) ->` what the sellers of the next round deliver, compiled.

    Updates [S, D] (NaN: nothing, or nothing usable), their sellers [S], what each node pledged [C].
    """
    parts = market.parts
    stages = stages_of(parts)

    @jax.jit
    def deliver(
        state: MarketState, hparams: HParams, data: FederatedData
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        _, work = learn(parts, stages, scene_of(parts, state, hparams, data))
        assert work.evidence.updates is not None
        updates = jnp.where(work.valid[:, None], work.evidence.updates, jnp.nan)
        return updates, work.selection.indices, books.electorate(state.ledger, JOB)

    return deliver


def literal_round(market: Market) -> Callable[..., LiteralRound]:
    """Returns `(state, hparams, data, serve=None) -> LiteralRound`, on the host; compiled once.

    1. The sellers train as in `Market.step` and publish a hash of what they deliver.
    2. All nodes fetch the updates; whoever served other bytes than it published is dropped.
    3. Every member of an execution set samples, refuses, aggregates and steps again from the
       updates that it got (`learn`), and votes with the SHA-256 of the quantised model.
       Colluders vote with the model that `conduct.spoil` makes of the round.

    The state is not advanced: `Market.step` does that. Both accept the same (a test), unless a
    seller was caught, which the vote model knows nothing of.

    Args:
        market: of `make_market`, with the attack of its spec.

    Raises:
        ValueError: the market has several jobs.
    """
    spec, layout, parts = market.spec, market.layout, market.parts
    if spec.num_jobs > 1:
        raise ValueError(f"literal rounds are of one job, not of num_jobs = {spec.num_jobs}")
    stages = stages_of(parts)

    deliver = deliverer(market)

    @jax.jit
    def recompute(
        state: MarketState,
        hparams: HParams,
        data: FederatedData,
        updates: jax.Array,
        is_right: jax.Array,
    ) -> jax.Array:
        """[L, D] server memory and model after the round, or after what colluders make of it."""
        served = stages._replace(attack=deliver_served(updates))
        scene = scene_of(parts, state, hparams, data)
        learning, work = learn(parts, served, scene)
        after = apply_result(
            parts, state.learning, learning, work, is_right, ~is_right, hparams, scene.rate
        )
        memory = [x for x in jax.tree.leaves(after.server) if x.shape == after.theta.shape]
        return jnp.stack([*memory, after.theta])

    def play(
        state: MarketState, hparams: HParams, data: FederatedData, serve: Serve | None = None
    ) -> LiteralRound:
        updates, sellers, pledges = jax.device_get(deliver(state, hparams, data))

        def checkpoints(updates: np.ndarray, is_right: bool) -> np.ndarray:
            return np.asarray(recompute(state, hparams, data, updates, np.bool_(is_right)))

        vote = cone.reexecute(
            vote_key(state.key, state.round),  # as `Market.step`
            lambda node, got: checkpoints(got, True),
            np.asarray(state.roles.behaviour),
            pledges > 0,
            hparams.cone,
            job=JOB,
            unit=int(state.round),
            schedule=spec.set_schedule,
            stop_rule=spec.stop_rule,
            sortition=spec.sortition,
            rice=spec.rice,
            stake=pledges,
            wrong=lambda group: checkpoints(updates, False),
            published=[cone.published_hash(update) for update in updates],
            served=lambda node: updates if serve is None else serve(node, updates),
        )
        caught = np.zeros(layout.num_sellers, bool)
        caught[sellers[vote.caught]] = True
        return LiteralRound(vote, sellers, caught)

    return play
