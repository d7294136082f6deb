"""What a vote costs, and how large its contract is."""

import dataclasses
import functools

import pytest

from contracts.evm import Evm
from contracts.market import address_of, encode, number_of, reason_text
from contracts.votes import table_words, terms_words
from contracts.votes_gas import measure_units
from d2m_jax.ledger.gas import gas_of_vote_on_unit
from d2m_jax.ledger.votes_gas import NEW_NODE, VOTE_GAS, gas_of_unit, gas_of_vote
from d2m_jax.ledger.votes_machine import VoteKind
from tests.contracts.votes_both import EASY, compiled, shared_chain
from tests.ledger.vote_traces import terms_of

pytestmark = pytest.mark.slow

NODES, SEATS, UNITS = 24, 14, 9  # by the last unit every node has been drawn before


@functools.cache
def measured():
    return measure_units(compiled(), NODES, seats=SEATS, num_units=UNITS)


def last(action):
    return [row.gas for row in measured() if row.action == action and row.unit == UNITS - 1]


def test_a_vote_of_one_set_is_the_sum_of_the_table():
    size = {"num_nodes": NODES, "num_drawn": SEATS}
    assert int(gas_of_unit(NODES, [SEATS, 0])) == int(gas_of_vote_on_unit(**size))
    both = int(gas_of_unit(NODES, [SEATS, 6])) - int(gas_of_unit(NODES, [SEATS, 0]))
    ballot = gas_of_vote(VoteKind.COMMIT_VOTE) + gas_of_vote(VoteKind.REVEAL_VOTE)
    more = gas_of_vote(VoteKind.DRAW, num_nodes=NODES, num_seats=6) + gas_of_vote(VoteKind.TALLY)
    assert both == int(more + 6 * ballot) + 6 * VOTE_GAS[VoteKind.OPEN_UNIT][2]


def test_a_node_that_was_never_drawn_costs_two_storage_slots_more():
    first = [row for row in measured() if row.unit == 0]
    commits = {row.gas for row in first if row.action == "commit_vote (new)"}
    (draw,) = {row.gas for row in first if row.action == "draw"}
    assert commits and max(commits) - max(last("commit_vote")) == NEW_NODE // 2
    assert draw - last("draw")[0] > 0.9 * SEATS * NEW_NODE / 2
    assert not last("commit_vote (new)")


def test_a_vote_costs_the_same_however_large_the_pool_is_and_however_many_digests_there_are():
    few = {row.action: row.gas for row in measure_units(compiled(), 8, num_units=1)}
    many = {row.action: row.gas for row in measure_units(compiled(), 200, num_units=1)}
    for action in ("commit_vote (new)", "reveal_vote", "tally", "open_content"):
        assert few[action] == pytest.approx(many[action], rel=0.002), action


def test_the_deployed_code_is_below_the_limit_of_ethereum():
    """24,576 bytes (EIP-170), and the largest creation below 49,152 (EIP-3860)."""
    chain = shared_chain()
    code = chain.evm.state.get_code(chain.address)
    assert 10_000 < len(code) < 16_000
    most_tables = 32 * (1_040 + 128 + 40)
    assert len(chain.artifact.code) + most_tables < 2 * 24_576 + 8_000


BAD = [
    {"num_jobs": 0},
    {"num_jobs": 17},
    {"num_nodes": 0},
    {"num_nodes": 1_025},
    {"num_sellers": 257},
    {"market": 0},
    *({"terms": (i, value)} for i in (0, 1) for value in (0, 2**20 + 1)),
    {"terms": (0, 1)},  # who draws would vote alone
    {"terms": (2, 2**30 + 1)},
    {"terms": (3, 4)},
    {"terms": (4, 2)},
    {"terms": (5, 2)},
    {"terms": (6, 2**31)},
    *({"terms": (7, value)} for value in (0, 33)),
    {"num_scores": 0},
    {"num_scores": 10**6},
    {"bounds": []},
    # a market that was not created for these votes
    *({"made_for": (i, value)} for i, value in enumerate((5, 2, 8, 4, 3))),
    {"made_for": (5, 4)},  # a content could not be told in time
    {"made_for": (6, 17)},  # a job could end while a vote runs: 3 sets of 4 blocks, 5 to tell
]


def test_the_constructor_refuses_what_cannot_be():
    """Sizes beyond its loops, windows of no block, short tables, a market for other votes."""
    terms = terms_of(dataclasses.replace(EASY, rule="miracle"))
    sets, scores, bounds = table_words(terms)
    usual = {"num_jobs": 1, "num_nodes": 7, "num_sellers": 3, "num_scores": 50}
    market, votes = b"M".rjust(20, b"\0"), number_of(address_of(1))
    for change in [{}, *BAD]:
        v = {"market": number_of(market), **usual, "bounds": bounds, **change}
        plain = terms_words(terms)
        if "terms" in v:
            plain[v["terms"][0]] = v["terms"][1]
        made_for = [votes, 1, 7, 3, plain[2], plain[0] + plain[1] + 1, 18]
        if "made_for" in v:
            made_for[v["made_for"][0]] = v["made_for"][1]
        evm = Evm()
        assert evm.create(address_of(0), market, compiled()[1].code + encode(*made_for)).ok
        start = [v["market"], v["num_jobs"], v["num_nodes"], v["num_sellers"], *plain, *sets]
        data = compiled()[0].code + encode(*start, v["num_scores"], scores, v["bounds"])
        sent = evm.create(address_of(0), address_of(1), data)
        assert sent.ok == (change == {}), change
        of_layout = {"market", "num_jobs", "num_nodes", "num_sellers"} & set(change)
        reason = "MARKET" if "made_for" in change else "LAYOUT" if of_layout else "RULES"
        assert sent.ok or reason_text(sent.output) == reason, change
