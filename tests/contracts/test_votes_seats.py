"""Who is drawn: by the contract as by hand, and as often as chance says."""

import itertools
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from contracts.votes import (
    JOB_SEED,
    VotesChain,
    drawn_by_chance,
    drawn_lots,
    hashed,
    pack,
)
from d2m_jax.cone.exact import exact_vote
from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.tables import vote_tables
from d2m_jax.ledger.votes_state import make_terms
from tests.contracts.votes_both import compiled

pytestmark = pytest.mark.slow

SEEDS = [hashed(number) for number in range(6_000)]
RARE = 1e-4  # all of this is the same in every run: it fails never, or always


def drawn_on_chain(num_nodes, stakes, **how):
    """Seed, urn before and seats of the first set of a contract of `num_nodes`."""
    params = ConeParams(size=how.pop("size", 9), q=0.2)
    tables = vote_tables(num_nodes, params, max_attempts=2, **how)
    size = {"num_jobs": 1, "num_nodes": num_nodes, "num_sellers": 1}
    chain = VotesChain(*compiled(), make_terms(tables, num_rounds=1, commit_window=2), **size)
    chain.tell_market("pledge", 0, pack(stakes, 64))
    chain.tell_market("want", 0, 1, 0, int.from_bytes(JOB_SEED, "big"))
    assert chain.call(chain.anybody, "open_unit", 0).ok
    urn = chain.state()["urn"][0]
    assert chain.call(chain.anybody, "draw", 0).ok
    return chain.seed(0), urn, chain.state()["seats"][0]


def test_the_seats_of_large_pools_are_those_derived_by_hand():
    """One lot each, lots of stake, and chance by stake; some nodes are not eligible."""
    stakes = [0 if i % 10 == 3 else 100 + 37 * i % 900 for i in range(300)]
    seed, urn, seats = drawn_on_chain(300, stakes, schedule="fixed")
    assert urn == [int(stake > 0) for stake in stakes]
    assert seats == drawn_lots(seed, 1, urn, 9) and sum(seats) == 9

    how = {"sortition": "stake", "schedule": "fixed", "size": 200}
    seed, urn, seats = drawn_on_chain(300, stakes, **how)
    quantum = -(-sum(stakes) // 1_200)
    assert urn == [stake // quantum for stake in stakes] and sum(urn) > 1_000
    assert seats == drawn_lots(seed, 1, urn, 200) and max(seats) > 1

    how = {"sortition": "stake", "schedule": "independent"}
    seed, urn, seats = drawn_on_chain(300, stakes, **how)
    mean = sum(stakes) // sum(stake > 0 for stake in stakes)
    assert urn == [min(round(0.2 * 2**31) * stake // mean, 2**31 - 1) for stake in stakes]
    assert seats == drawn_by_chance(seed, 1, urn) and 20 < sum(seats) < 100


def test_every_set_of_nodes_is_as_likely_as_any_other():
    """All 35 sets of 3 of 7, exactly uniform."""
    sets = Counter(tuple(drawn_lots(seed, 1, [1] * 7, 3)) for seed in SEEDS)
    expected = [seats for seats in itertools.product((0, 1), repeat=7) if sum(seats) == 3]
    assert set(sets) == set(expected)
    assert stats.chisquare([sets[seats] for seats in expected]).pvalue > RARE


def test_lots_of_stake_are_hypergeometric_whoever_holds_them():
    """A node with 5 of 12 lots in a set of 4, at once or as five nodes."""
    pmf = stats.hypergeom(12, 5, 4).pmf(range(5))
    for urn in ([5, 4, 3], [1, 1, 1, 1, 1, 4, 3]):
        mine = len(urn) - 2
        found = Counter(sum(drawn_lots(seed, 1, urn, 4)[:mine]) for seed in SEEDS)
        observed = [found[k] for k in range(5)]
        assert stats.chisquare(observed, pmf * len(SEEDS)).pvalue > RARE, urn


def test_independent_seats_have_their_chance_and_are_independent():
    chances = [0.1, 0.35, 0.9]
    urn = [round(chance * 2**31) for chance in chances]
    found = Counter(tuple(drawn_by_chance(seed, 2, urn)) for seed in SEEDS)
    every = list(itertools.product((0, 1), repeat=3))
    expected = [
        len(SEEDS) * np.prod([p if seat else 1 - p for p, seat in zip(chances, seats)])
        for seats in every
    ]
    assert stats.chisquare([found[seats] for seats in every], expected).pvalue > RARE


def test_sets_of_one_unit_and_units_of_one_seed_are_not_alike():
    """Correlation of a node's seat in two sets, and in two units."""
    one = np.asarray([drawn_by_chance(seed, 1, [2**30] * 8) for seed in SEEDS]).ravel()
    two = np.asarray([drawn_by_chance(seed, 2, [2**30] * 8) for seed in SEEDS]).ravel()
    assert abs(np.corrcoef(one, two)[0, 1]) < 4 / np.sqrt(one.size)


@pytest.mark.parametrize("bad", [4, 6])
def test_votes_with_seats_of_the_contract_go_wrong_as_often_as_is_exact(bad):
    """A pool of 12 under the rule "lead", against `cone.exact_vote`."""
    pool, params = 12, ConeParams(base=1, f_max=0.3, beta=0.1)
    tables = vote_tables(pool, params)
    need, ends = int(tables.bounds[0]), tables.ends[0].tolist()
    wrong = undecided = 0
    for seed in SEEDS:
        urn, lead, accepted = [1] * pool, 0, None
        for attempt, (start, end) in enumerate(itertools.pairwise([0, *ends]), 1):
            seats = drawn_lots(seed, attempt, urn, end - start)
            urn = [a - b for a, b in zip(urn, seats)]
            liars = sum(seats[:bad])
            lead += end - start - 2 * liars
            if abs(lead) >= need or end >= pool:
                accepted = np.sign(lead)
                break
        wrong += accepted == -1
        undecided += accepted == 0
    exact = exact_vote(pool, bad, params)
    for seen, chance in ((wrong, exact.error), (undecided, exact.undecided)):
        low, high = stats.binomtest(int(seen), len(SEEDS)).proportion_ci(1 - RARE, "exact")
        assert low <= chance <= high, (seen, chance)
    assert wrong > 5
