"""The gas table and its sums; against the contract itself: tests/contracts/test_gas.py."""

import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import ledger as L
from d2m_jax.cli import gas_report
from d2m_jax.ledger.gas import (
    CALLDATA,
    FEATURES,
    FREEZE,
    NEW_DIGEST,
    OPENING_SEAL,
    PAPER,
    REFUSED,
    gas_of_refusal,
    gas_of_vote_on_unit,
)
from tests.ledger.test_machine import LAWS
from tests.ledger.worlds import LAYOUT

SIZE = {"num_sellers": 7, "num_matched": 5, "num_nodes": 11, "num_drawn": 3}
SIZE |= {"num_buyers": 6, "num_bidders": 4}


def by_hand(kind):
    return sum(a * b for a, b in zip(L.GAS[kind], (1, *SIZE.values()), strict=True))


def test_every_kind_has_a_row_and_costs_at_least_a_transaction():
    assert set(L.GAS) == set(L.Kind) and all(len(row) == len(FEATURES) for row in L.GAS.values())
    assert not any(L.GAS[L.Kind.WAIT])
    assert min(row[0] for kind, row in L.GAS.items() if kind != L.Kind.WAIT) > 21_000
    assert all(value >= 0 for row in L.GAS.values() for value in row)


def test_gas_is_the_linear_form_of_its_row():
    kinds = jnp.asarray([-1, *L.Kind, len(L.Kind)])
    got = jax.jit(L.gas_of)(kinds, **SIZE)
    assert got.dtype == jnp.int32
    assert got.tolist() == [REFUSED, *(by_hand(kind) for kind in L.Kind), REFUSED]
    # by default all sellers are matched and all nodes drawn
    everybody = {**SIZE, "num_matched": 7, "num_drawn": 11, "num_bidders": 6}
    some = {name: SIZE[name] for name in ("num_sellers", "num_nodes", "num_buyers")}
    for kind in (L.Kind.CLOSE_AUCTION, L.Kind.BOOK_ROUND):
        assert int(L.gas_of(kind, **some)) == int(L.gas_of(kind, **everybody))


def test_a_refusal_grows_with_the_papers_it_carries():
    """Which a dispute has to show; nothing else carries more than it is worth."""
    kinds = jnp.asarray(list(L.Kind))
    got = gas_of_refusal(kinds, num_drawn=100)
    for kind, gas in zip(L.Kind, got.tolist(), strict=True):
        shows = kind == L.Kind.BOOK_DISPUTE
        assert gas == (CALLDATA + 100 * PAPER if shows else REFUSED) >= REFUSED
    assert int(gas_of_refusal(L.Kind.BOOK_DISPUTE, num_drawn=1)) == REFUSED


def test_sizes_broadcast():
    nodes = np.asarray([16, 64, 256])
    got = L.gas_of(L.Kind.BOOK_ROUND, num_nodes=nodes, num_drawn=16)
    assert got.tolist() == [
        int(L.gas_of(L.Kind.BOOK_ROUND, num_nodes=int(n), num_drawn=16)) for n in nodes
    ]


def a_vote():
    """All drawn nodes agree in one set."""
    once = ("OPEN_UNIT", "DRAW", "TALLY", "OPEN_CONTENT")
    each = by_hand(L.Kind.COMMIT_VOTE) + by_hand(L.Kind.REVEAL_VOTE)
    return sum(by_hand(L.Kind[k]) for k in once) + SIZE["num_drawn"] * each + NEW_DIGEST


def test_a_job_is_the_sum_of_its_actions():
    """Five rounds and the verification are voted on; four bids are sealed and revealed."""
    one_round = a_vote() + by_hand(L.Kind.BOOK_ROUND)
    assert int(gas_of_vote_on_unit(**SIZE)) == a_vote()
    assert int(L.gas_of_round(**SIZE)) == one_round
    once = ("CLOSE_AUCTION", "OPEN_METRIC", "BOOK_VERIFICATION", "SETTLE", "RESET_JOB")
    expected = 5 * one_round + a_vote() + sum(by_hand(L.Kind[k]) for k in once)
    expected += 4 * (by_hand(L.Kind.SEAL) + by_hand(L.Kind.REVEAL)) + OPENING_SEAL
    expected += FREEZE[0] + 11 * FREEZE[1]
    size = {name: value for name, value in SIZE.items() if name != "num_bidders"}
    assert int(L.gas_of_job(5, num_bids=4, **size)) == expected
    alone = L.gas_of_job(5, num_bids=4, **{**size, "num_buyers": 4})
    assert int(L.gas_of_job(5, num_bids=4, **{**SIZE, "num_buyers": 4})) == int(alone)


def test_who_acts_pays_also_for_what_is_refused():
    one = [
        L.make_action(LAYOUT, L.Kind.REGISTER_NODE, actor=LAYOUT.node(0), amount=1_000),
        L.make_action(LAYOUT, L.Kind.REGISTER_NODE, actor=LAYOUT.node(0), amount=1_000),
        L.make_action(LAYOUT, L.Kind.WAIT, actor=1, amount=3),
        L.make_action(LAYOUT, L.Kind.BID, actor=2, tags=1, amount=500, value=1),
        L.make_action(LAYOUT, L.Kind.DRAW, actor=1, payload=[1, 1, 0, 2]),
        L.make_action(LAYOUT, L.Kind.SETTLE, actor=-1),
    ]
    actions = jax.tree.map(lambda *leaves: jnp.stack(leaves), *one)
    chain = L.new_chain(LAYOUT, buyer_funds=1_000, seller_funds=0, node_funds=1_000)
    _, receipts = jax.jit(L.run_trace)(chain, LAWS, actions)
    spent = np.asarray(jax.jit(L.gas_spent, static_argnums=0)(LAYOUT, actions, receipts))
    expected = np.zeros(LAYOUT.num_accounts)
    expected[LAYOUT.node(0)] = int(L.gas_of(L.Kind.REGISTER_NODE)) + REFUSED
    expected[2] = int(L.gas_of(L.Kind.BID))
    expected[1] = REFUSED  # no unit is open
    assert receipts.tolist()[:4] == [0, int(L.Reason.ALREADY_DONE), 0, 0]
    np.testing.assert_array_equal(spent, expected)
    # had there been a unit, three of the five nodes would have been drawn
    accepted = receipts.at[4].set(int(L.Reason.OK))
    size = {"num_sellers": LAYOUT.num_sellers, "num_nodes": LAYOUT.num_nodes, "num_drawn": 3}
    paid = L.gas_spent(LAYOUT, actions, accepted)[1]
    assert float(paid) == pytest.approx(int(L.gas_of(L.Kind.DRAW, **size)))


def test_a_batch_votes_once_on_its_rounds():
    market = gas_report.Market(32, 64, 16, 20, 3)
    size = {**market.size(), "num_bidders": 3}
    alone = gas_report.job_gas(market)
    assert alone == int(L.gas_of_job(20, num_bids=3, **market.size()))
    for batch, units in ((1, 20), (2, 10), (5, 4), (10, 2), (20, 1), (7, 3)):
        assert gas_report.num_units(market, batch) == units
        saved = (20 - units) * int(L.gas_of_round(**size))
        assert gas_report.job_gas(market, batch) == alone - saved
    table = gas_report.batches(market)
    assert table["job"].tolist() == [gas_report.job_gas(market, k) for k in gas_report.BATCHES]
    per_round = int(L.gas_of_round(**size)) / 20
    assert table["gas per round"].iloc[-1] == pytest.approx(per_round, abs=1)
    prices = gas_report.prices(market)
    assert prices["K = 5"].iloc[2] == pytest.approx(gas_report.job_gas(market, 5) * 1e-9)


@pytest.mark.slow
def test_the_report_prints_and_plots(tmp_path):
    root = pathlib.Path(__file__).resolve().parents[2]
    command = [sys.executable, "scripts/gas_report.py", f"--out={tmp_path}", "--num_rounds=3"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    size = {"num_sellers": 32, "num_nodes": 64, "num_drawn": 16}
    job = int(L.gas_of_job(3, num_bids=3, **size))
    assert f"{int(L.gas_of_round(**size)):,} gas a round; {job:,} gas a job" in done.stdout
    tables = {"actions.csv", "growth.csv", "batches.csv", "prices.csv"}
    assert {path.name for path in tmp_path.iterdir()} == tables | {"gas.png", "gas_batches.png"}
