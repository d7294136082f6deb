"""How a dispute is decided: by the vote of a fresh set, or by bisection before the court.

A way is a function `(key, matter, **numbers) -> Hearing` of one unit of work. Read first:
`hearing.py`; next: `court/tournament.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax import cone
from d2m_jax.core.trees import choose
from d2m_jax.core.types import Key, Number
from d2m_jax.court.tournament import hold_trial
from d2m_jax.ledger.disputes import bond_of
from d2m_jax.market.decisions import RIGHT
from d2m_jax.market.hearing import Dispute, Hearing, Matter, accuse, hear


def revote(key: Key, matter: Matter) -> Hearing:
    """The loser notices with probability `vigilance`, a fresh and larger set votes again.

    A majority of liars in the pool wins here too. Each of the set sends a commitment and a reveal.
    """
    ledger, opened = accuse(matter, matter.loser, matter.wants(matter.lots[0] < matter.vigilance))
    again = matter.again(key, ledger)
    blocks = jnp.ceil(again.latency / matter.block_time).astype(jnp.int32)
    ledger, upheld = hear(ledger, matter, again, opened, blocks)
    return Hearing(
        ledger,
        opened,
        upheld,
        jnp.where(opened, 2 * again.executions, 0),
        jnp.where(opened, blocks, 0),
        jnp.int32(0),
        opened & again.drawn,
    )


def bisection(
    key: Key,
    matter: Matter,
    *,
    watchers: Number = 1.0,
    watching: Number = 1.0,
    censorship: Number = 0.0,
    sybils: Number = 1.0,
    inexact: Number = 0.0,
    steps: Number = 4096.0,
    window: Number = 50.0,
    budget: Number = 40.0,
    judging: Number = 60.0,
) -> Hearing:
    """Any party that recomputes may challenge, and wins over any majority if it is heard in time.

    1. The wrong results of a job are noticed with probability 1 - (1 - p)^h, by h watchers of whom
       each recomputes the job with probability p. The first honest node that can pay the bond
       disputes, else the loser. A right result the loser disputes with probability `false_dispute`.
    2. The true claim meets the wrong ones in a tournament (`court.tournament.hold_trial`). It holds
       if it is there (a watcher, or an honest node that voted) and is not censored too long.
    3. With probability `inexact` the step in question is not exact in whole numbers: then a fresh,
       larger set votes on it, as in `revote`.
    4. Bonds, slashes and refunds are the ledger's, as for any dispute.

    Args:
        key: consumed.
        matter: the unit, and who may dispute it.
        watchers: h, honest parties that might recompute.
        watching: p, probability that each does.
        censorship: probability that a block keeps all honest messages out.
        sybils: wrong claims.
        inexact: probability that the wrong step is one on which the pool decides.
        steps: of the unit of work.
        window, budget, judging: terms of the court, blocks.
    """
    trial_key, step_key, again_key = jax.random.split(key, 3)
    missed = (1.0 - jnp.asarray(watching, jnp.float32)) ** jnp.asarray(watchers, jnp.float32)
    watched = matter.lots[0] >= missed
    ledger, opened = accuse(matter, challenger(matter), matter.wants(watched))
    trial = hold_trial(
        trial_key, sybils=sybils, steps=steps, censorship=censorship,
        window=window, budget=budget, judging=judging,
    )  # fmt: skip
    there = watched | (matter.papers == RIGHT).any()
    heard = trial.holds & there
    by_pool = heard & (jax.random.uniform(step_key, dtype=jnp.float32) < inexact)
    by_court = ruled(matter.again(again_key, ledger), matter.result, heard, by_pool)
    ledger, upheld = hear(ledger, matter, by_court, opened, trial.delay)
    return Hearing(
        ledger,
        opened,
        upheld,
        jnp.where(opened, trial.messages, 0),
        jnp.where(opened, trial.delay, 0),
        jnp.where(opened, trial.gas, 0),
        opened & by_court.drawn,
    )


def ruled(
    again: cone.Consensus, result: jax.Array, heard: jax.Array, by_pool: jax.Array
) -> cone.Consensus:
    """What the court accepts, as if it were a vote: nobody sat in it unless the pool decides.

    Args:
        again: what the pool would decide.
        result: [] int32 accepted digest that is in question.
        heard: [] bool, the truth gets to the last step; who only gets there has won.
        by_pool: [] bool, the pool decides about that step.
    """
    false = jnp.maximum(result - RIGHT, 1)  # the lie that stands, or one against the truth
    alone = again._replace(
        accepted=jnp.where(heard, 0, false),
        outcome=jnp.full_like(again.outcome, cone.Outcome.NOT_DRAWN),
        digests=jnp.zeros_like(again.digests),
    )
    return choose(by_pool, again, alone)


def challenger(matter: Matter) -> jax.Array:
    """[] int32: the first honest node that can pay the bond of a wrong result, else the loser."""
    ledger = matter.ledger
    layout = ledger.layout
    bond = bond_of(jax.tree.map(lambda x: x[matter.job], ledger.jobs), matter.rules)
    nodes = layout.nodes
    able = ledger.registered[nodes] & (ledger.balances[nodes] >= bond)
    able &= matter.honest & matter.has_reason & (matter.papers != matter.result)  # not itself
    return jnp.where(able.any(), layout.node(jnp.argmax(able)), matter.loser).astype(jnp.int32)


# `(key, matter, **numbers) -> Hearing`
DISPUTES: dict[str, Dispute] = {"revote": revote, "bisection": bisection}
