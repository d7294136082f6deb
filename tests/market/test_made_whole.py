"""After an attack that is found nobody honest has less than without it, if the pledges cover it."""

import dataclasses
import functools

import numpy as np
import pytest

from d2m_jax import ledger as books
from d2m_jax.cone import Behaviour, ConeParams
from d2m_jax.ledger import Phase, wealth
from tests.worlds import SPEC, market, numbers, play

pytestmark = pytest.mark.slow

ALL = SPEC.num_nodes  # one set of all nodes, so that the same nodes work in both worlds
WHOLE = dataclasses.replace(
    SPEC, num_rounds=4, eval_every=4, num_sampled=SPEC.num_sellers, sampler="uniform",
    contribution="count", attack="none", set_schedule="fixed", dispute="bisection",
)  # fmt: skip
LAYOUT, STAKE = market(WHOLE).layout, 400_000  # half of what is lost burns before the buyer is paid
RULES = {"node_stake": STAKE, "slash_wrong_bps": 1_000}  # five wrong units leave half of a pledge


@functools.cache
def ending(colluding, tau=0.3, watching=1.0):
    """What everybody gained, and how it ended."""
    hparams = numbers(
        tau=tau, population={"num_colluding": colluding}, cone=ConeParams(size=ALL), rules=RULES,
        money={"node_stake": STAKE, "node_funds": 2 * STAKE}, dispute={"watching": watching},
        attack={},
    )  # fmt: skip
    outcome = play(dataclasses.replace(hparams, attack={}), spec=WHOLE)
    facts = books.invariants(outcome.ledger)
    assert all(facts.values()), facts
    return np.asarray(wealth(outcome.ledger) - wealth(outcome.opening)), outcome


@pytest.mark.parametrize("colluding", [13, 17, 23])
def test_nobody_honest_has_less_than_without_the_attack(colluding):
    fair, quiet = ending(0)
    gained, outcome = ending(colluding)
    jobs = outcome.ledger.jobs
    assert int(quiet.phase) == Phase.SETTLED and int(outcome.phase) == Phase.REFUNDED
    assert (np.asarray(jobs.results[0]) == 1).all()  # all five were wrong, all five fell
    assert (np.asarray(outcome.rounds.accepted_digest) == 1).all() and jobs.spoilt[0]
    honest = np.asarray(outcome.roles.behaviour) == Behaviour.HONEST
    assert (gained[LAYOUT.nodes][honest] >= fair[LAYOUT.nodes][honest]).all()
    assert (gained[LAYOUT.sellers] >= fair[LAYOUT.sellers]).all()
    assert gained[0] >= 0 > fair[0]  # the buyer has its price back; without a model
    assert (gained[LAYOUT.nodes][~honest] < 0).all()
    assert outcome.ledger.banned[LAYOUT.nodes].tolist() == (~honest).tolist()


def test_without_a_watcher_the_honest_lose_and_the_liars_win():
    fair, _ = ending(0)
    gained, outcome = ending(17, watching=0.0)
    honest = np.asarray(outcome.roles.behaviour) == Behaviour.HONEST
    assert int(outcome.phase) == Phase.SETTLED
    assert (gained[LAYOUT.nodes][honest] < fair[LAYOUT.nodes][honest]).all()
    assert (gained[LAYOUT.nodes][~honest] > fair[LAYOUT.nodes][~honest]).all()
