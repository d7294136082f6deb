"""The tools of the conformance test: do they run, encode and read what they say they do?"""

import eth_abi
import numpy as np
import pytest
from eth.vm.forks.prague.computation import PragueComputation

from contracts import evm, market, reading
from contracts.market import address_of, encode, number_of
from d2m_jax import ledger as L
from tests.contracts.machines import (
    as_dict,
    begin,
    disagreement,
    new_chain,
    next_row,
    play_seed,
)
from tests.ledger.traces import LAYOUT

pytestmark = pytest.mark.slow

STEPS = 60
SEED = 5


def trace_of(chain, seed):
    """Receipt, gas and state after each action of a random trace."""
    draw, model, _ = begin(chain, seed)
    seen = []
    for _ in range(STEPS):
        row = next_row(draw, model, chain)
        model.act(*row)
        chain.last = None
        reason = chain.act(as_dict(row))
        seen.append((reason, chain.last and chain.last.gas))
    return seen, chain.state()


def same(one, other):
    return one[0] == other[0] and disagreement(one[1], other[1]) is None


def test_starting_over_is_being_created_anew():
    used = new_chain(seed=9)
    for seed in range(2):
        trace_of(used, 9)
        assert same(trace_of(used, seed), trace_of(new_chain(seed=seed), seed))


def test_the_faster_loop_is_plain_py_evm(monkeypatch):
    """Same receipts, storage and gas, to the unit, without our `Computation`; nested calls too."""
    fast = trace_of(new_chain(seed=SEED), SEED)
    monkeypatch.setattr(evm, "Computation", PragueComputation)
    assert same(fast, trace_of(new_chain(seed=SEED), SEED))
    assert {L.Reason.OK} < {reason for reason, _ in fast[0]}


def test_arguments_are_encoded_as_the_abi_says():
    for types, values in [
        (["int256"] * 4, (1, -3, 2**31 - 1, 9_000)),
        (["int256", "int256[]"], (0, [1, -1, 3])),
        (["int256", "int256[]", "int256", "int256[]"], (-1, [], -(2**255), [5, 6])),
        (["int256", "(uint256,uint256)[]"], (0, [(1, 2), (3, 4)])),
    ]:
        assert encode(*values) == eth_abi.encode(types, values)


def test_the_words_mean_what_the_views_of_the_contract_say():
    """`reading` unpacks lanes in Python; the contract unpacks the same words in its views."""
    chain = new_chain(seed=SEED)
    play_seed(chain, SEED, 100)
    got = reading.state(chain, chain.votes.number)
    assert got["stakes"].any() and got["jobs.matched"].any() and got["jobs.pledged"].any()

    def view(name, *values):
        return chain.read(name, *values)

    def who(account):
        return number_of(address_of(account))

    for account in range(LAYOUT.num_accounts):
        *numbers, asked_at, registered, banned = view("account", who(account))
        assert numbers == [got[name][account] for name in ("balances", "stakes", "exits")]
        assert max(asked_at - market.FIRST_BLOCK, 0) == got["exit_blocks"][account]
        assert [registered, banned] == [got["registered"][account], got["banned"][account]]
    for seller in range(LAYOUT.num_sellers):
        names = ("tags", "sizes", "asks", "reputation_bps", "max_taus")
        account = LAYOUT.seller(seller)
        assert view("listing", who(account)) == [got[name][seller] for name in names]
        for job in range(LAYOUT.num_jobs):
            names = ("locked", "weights", "matched", "excluded")
            expected = [got[f"jobs.{name}"][job, seller] for name in names]
            assert view("place", job, who(account)) == expected
    for job in range(LAYOUT.num_jobs):
        names = [*reading.JOB, *reading.PURSE]
        fields = dict(zip(names, view("job", job), strict=True))
        auctioned = fields["phase"] <= L.Phase.AUCTION
        for name in names:
            if name != "verified" and not (auctioned and name in reading.PURSE):
                told = fields[name] - (name in reading.FROM_ONE)
                told -= market.FIRST_BLOCK * (name in reading.BLOCKS and told > 0)
                assert told == got[f"jobs.{name}"][job], name
        for node in range(LAYOUT.num_nodes):
            pledged, held, earned, _ = view("post", job, who(LAYOUT.node(node)))
            names = ("pledged", "held", "earned")
            expected = [got[f"jobs.{n}"][job, node] for n in names]
            assert [pledged, held, earned] == expected or not any(expected)
        for buyer in range(LAYOUT.num_buyers):
            *offer, made, seal, model, metric = view("offer", job, who(buyer))
            names = ("bids", "deposits", "taus")
            assert offer == [got[f"jobs.{n}"][job, buyer] for n in names]
            digests = "jobs.seals", "jobs.models", "jobs.metrics"
            assert [x != 0 for x in (seal, model, metric)] == [got[n][job, buyer] for n in digests]
            assert made == (seal != 0 or offer[0] > 0)
        for unit in range(LAYOUT.num_units):
            result, _ = view("booked", job, unit)
            if got["jobs.results"][job, unit]:
                number = chain.votes.number(result.to_bytes(32, "big"))
                assert number == got["jobs.results"][job, unit]


def test_a_failure_without_a_reason_is_an_error():
    with pytest.raises(ValueError, match="without a reason: 0x"):
        market.reason_text(b"")
    chain = new_chain(seed=1)
    bad = {**L.DEFAULT_RULES, "num_rounds": 0}
    with pytest.raises(ValueError, match="refused to start: RULES"):
        market.Market(chain.code, LAYOUT, bad, [0] * LAYOUT.num_accounts)
    assert isinstance(reading.state(chain, chain.votes.number)["supply"], np.ndarray)
