"""The tools of the conformance test: do they run, encode and read what they say they do?"""

import eth_abi
import numpy as np
import pytest
from eth.vm.forks.prague.computation import PragueComputation

from contracts import evm, market
from contracts.market import Market, address_of, encode, state
from d2m_jax import ledger as L
from tests.contracts.machines import NUM_STEPS, artifact, as_dict, legal_world
from tests.ledger.traces import LAYOUT, random_action, seeded_draw

SEED = 5  # its trace ends with a sealed job that runs: nodes have earned and are slashed


HASHES = ("seals", "metrics")


def new_market(seed):
    """A contract with the terms and funds of a random world."""
    model, funds = legal_world(seeded_draw(seed))
    return Market(artifact(), LAYOUT, model.rules, funds)


def play(world, seed):
    """The random trace of a seed; the receipt, gas and storage after each action."""
    draw = seeded_draw(seed)
    model, _ = legal_world(draw)
    seen = []
    for _ in range(NUM_STEPS):
        row = random_action(draw, model)
        model.act(*row)
        reason = world.act(as_dict(row))
        seen.append((reason, world.last and world.last.gas, world.words().tobytes()))
    return seen


def test_starting_over_is_being_created_anew():
    used = new_market(9)
    for seed in range(3):
        play(used, 9)
        model, funds = legal_world(seeded_draw(seed))
        used.start_over(model.rules, funds)
        fresh = new_market(seed)
        read = used.evm.state, fresh.evm.state
        codes = [s.get_code(used.address) for s in read]
        assert codes[0] == codes[1] and len(codes[0]) > 20_000
        assert read[0].get_balance(used.address) == read[1].get_balance(used.address) > 0
        assert used.words().tobytes() == fresh.words().tobytes()
        assert play(used, seed) == play(fresh, seed)


def test_the_faster_loop_is_plain_py_evm(monkeypatch):
    """Same receipts, storage and gas, to the unit, without our `Computation`."""
    fast = [play(new_market(seed), seed) for seed in range(3)]
    monkeypatch.setattr(evm, "Computation", PragueComputation)
    assert fast == [play(new_market(seed), seed) for seed in range(3)]


def test_arguments_are_encoded_as_the_abi_says():
    for types, values in [
        (["int256"] * 4, (1, -3, 2**31 - 1, 9_000)),
        (["int256", "int256[]"], (0, [1, -1, 3])),
        (["int256", "int256[]", "int256", "int256[]"], (-1, [], -(2**255), [5, 6])),
    ]:
        assert encode(*values) == eth_abi.encode(types, values)


def test_the_words_mean_what_the_views_of_the_contract_say():
    """`state` unpacks lanes in Python; the contract unpacks the same words in its views."""
    world = new_market(SEED)
    world_rules = legal_world(seeded_draw(SEED))[0].rules
    play(world, SEED)
    got = {name: x.astype(int) for name, x in state(world.words(), LAYOUT).items()}
    for name in ("stakes", "exits", "jobs.matched", "jobs.bids", "jobs.held", "jobs.earned"):
        assert got[name].any(), name

    def view(name, *values):
        output = world.call(world.arbiter, name, *values).output
        return np.frombuffer(output, ">u4").reshape(-1, 8)[:, -1].astype(int).tolist()

    def who(account):
        return int.from_bytes(address_of(account), "big")

    for account in range(LAYOUT.num_accounts):
        names = ("balances", "stakes", "exits", "exit_blocks", "registered", "banned")
        assert view("account", who(account)) == [got[name][account] for name in names]
    for seller in range(LAYOUT.num_sellers):
        names = ("tags", "sizes", "reputation_bps", "asks", "max_taus")
        account = LAYOUT.seller(seller)
        assert view("listing", who(account)) == [got[name][seller] for name in names]
        for job in range(LAYOUT.num_jobs):
            names = ("locked", "weights", "matched", "excluded")
            expected = [got[f"jobs.{name}"][job, seller] for name in names]
            assert view("place", job, who(account)) == expected
    for job in range(LAYOUT.num_jobs):
        fields = dict(zip(market.JOB, view("job", job), strict=True))
        assert fields.pop("pledge") in (0, world_rules["node_stake"])  # of which `state` is made
        expected = {n: got[f"jobs.{n}"][job] + (n in market.FROM_ONE) for n in fields}
        assert fields == expected
        for node in range(LAYOUT.num_nodes):
            pledged, _, *waits = view("post", job, who(LAYOUT.node(node)))
            names = ("pledged", "held", "earned", "missed")
            assert [pledged, *waits] == [got[f"jobs.{n}"][job, node] for n in names]
        for buyer in range(LAYOUT.num_buyers):
            *offer, made, seal, model, metric = view("offer", job, who(buyer))
            names = ("bids", "deposits", "taus", "models")
            assert [*offer, model] == [got[f"jobs.{n}"][job, buyer] for n in names]
            assert [seal != 0, metric != 0] == [got[f"jobs.{n}"][job, buyer] for n in HASHES]
            assert made == (seal != 0 or offer[0] > 0)


def test_a_failure_without_a_reason_is_an_error():
    with pytest.raises(ValueError, match="without a reason: 0x"):
        market.reason_text(b"")
    with pytest.raises(ValueError, match="refused to start: RULES"):
        Market(artifact(), LAYOUT, {**L.DEFAULT_RULES, "num_rounds": 0}, [])
