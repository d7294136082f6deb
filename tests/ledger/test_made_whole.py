"""After an upheld dispute nobody honest has less than if nobody had attacked: random captures."""

import numpy as np
import pytest

from d2m_jax import ledger as L
from tests.ledger.worlds import METRIC, open_rules, registered

LAYOUT = L.Layout(num_buyers=3, num_sellers=4, num_nodes=9, num_jobs=2)
BUYER, ARBITER, ROUNDS = 0, LAYOUT.treasury, 3
SELLERS, NODES = LAYOUT.sellers, LAYOUT.nodes


def begun(price, burn_bps):
    """A job at the price of `price`, nodes pledged."""
    rules = open_rules(num_rounds=ROUNDS, burn_bps=burn_bps, reserve=price)
    world = registered(layout=LAYOUT, rules=rules)
    metric = L.digest_of(**METRIC)
    world("bid", buyer=BUYER, job=0, tags=3, amount=9_999, tau_bps=9_000, metric=metric)
    world("wait", blocks=20)("close_auction", actor=0, job=0)
    return world("open_metric", actor=BUYER, job=0, **METRIC)


def ended(world, metric_bps):
    report = {"metric_bps": metric_bps, "weights": np.array([3, 1, 0, 5])}
    return world("report_metric", actor=ARBITER, job=0, **report)


def wealth(world):
    return np.asarray(L.wealth(world.ledger)).tolist()


def capture(seed):
    """(attacked, spared): the same sets drawn, in one world some rounds are taken by colluders.

    Who was outvoted has no pledge left and is not drawn again; in the other world it is not either.
    """
    rng = np.random.default_rng(seed)
    price, burn_bps = int(rng.integers(300, 5_000)), int(rng.integers(0, 10_001))
    colludes = rng.permutation(9) < rng.integers(5, 9)
    attacked, spared = begun(price, burn_bps), begun(price, burn_bps)
    out, guilty = np.zeros(9, bool), np.zeros(9, bool)
    for t in range(ROUNDS):
        drawn = (rng.random(9) < 0.7) & ~out
        taken = (t == ROUNDS - 1 or rng.random() < 0.5) and drawn[colludes].sum() > (
            drawn[~colludes].sum()
        )
        outcomes = np.where(drawn, np.where(colludes | ~np.bool(taken), 1, 2), 0)
        attacked("settle_round", actor=ARBITER, job=0, outcomes=outcomes)
        spared("settle_round", actor=ARBITER, job=0, outcomes=drawn.astype(int))
        out |= outcomes == 2
        guilty |= taken & drawn & colludes
    return ended(attacked, 9_500), ended(spared, 8_000), colludes, guilty, out


@pytest.mark.parametrize("seed", range(12))
def test_nobody_honest_has_less_than_without_the_attack(seed):
    """Node, seller or buyer: the liars pay, also for the work that went into the spoilt model."""
    attacked, spared, colludes, guilty, out = capture(seed)
    if not guilty.any():
        return
    accused = LAYOUT.node(int(np.argmax(guilty)))
    attacked("open_dispute", actor=BUYER, job=0, accused=accused, disputed_round=0)
    again = np.where(~colludes & ~out, 1, 0)
    findings = np.where(guilty, L.Finding.GUILTY, np.where(out, L.Finding.OUTVOTED, again))
    attacked("resolve_dispute", actor=ARBITER, job=0, ruling=1, findings=findings)
    spared("wait", blocks=10)("settle", actor=0, job=0)
    assert attacked.row()["phase"] == spared.row()["phase"] == L.Phase.REFUNDED
    now, then = np.array(wealth(attacked)), np.array(wealth(spared))
    assert (now[NODES][~colludes] >= then[NODES][~colludes]).all()
    assert (now[SELLERS] >= then[SELLERS]).all() and now[BUYER] >= then[BUYER]
    assert (now[NODES][guilty] < then[NODES][guilty]).all()
    assert (np.asarray(attacked.ledger.stakes)[NODES][out] == 1_000).all()


def test_enough_captures_are_tried():
    """At least eight of the twelve have somebody outvoted and somebody guilty."""
    tried = [capture(seed)[3:] for seed in range(12)]
    assert sum(guilty.any() and out.any() for guilty, out in tried) >= 8


def test_who_is_outvoted_by_a_dispute_that_fails_stays_slashed():
    """Captured twice: the pool repeats the lie, and who was right loses what was held."""
    world = begun(900, 5_000)
    outcomes = np.array([1, 1, 1, 2, 0, 0, 0, 0, 0])
    for _ in range(ROUNDS):
        world("settle_round", actor=ARBITER, job=0, outcomes=outcomes)
    ended(world, 9_500)
    world("open_dispute", actor=BUYER, job=0, accused=LAYOUT.node(0), disputed_round=0)
    findings = np.full(9, L.Finding.OUTVOTED)
    world("resolve_dispute", actor=ARBITER, job=0, ruling=0, findings=findings)
    assert world.row()["held"][3] == 1_000 and world.row()["missed"][3] == 75
    world("wait", blocks=10)("settle", actor=0, job=0)
    assert np.asarray(world.ledger.stakes)[NODES][3] == 0
