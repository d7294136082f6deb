"""Contracts, functional chain and slow model do the same: every receipt, every field.

And would that be noticed? Small faults are seeded in the contracts, one at a time (`mutants.py`).
"""

import re
from collections import Counter

import numpy as np
import pytest

from d2m_jax import ledger as L
from d2m_jax.ledger import votes
from tests.contracts.both import RULES, asked_anew, fallen
from tests.contracts.machines import (
    NOT_STORED,
    NUM_STEPS,
    NUM_TRACES,
    artifacts,
    as_dict,
    begin,
    by_name,
    disagreement,
    genesis,
    in_processes,
    new_chain,
    play_contracts,
    play_functional,
    played,
)
from tests.contracts.mutants import FAULTS, mutant
from tests.contracts.puppet import PuppetMarket
from tests.contracts.trial import TrialMarket, sleep_through, wait_for_court
from tests.ledger.traces import LAYOUT

pytestmark = pytest.mark.slow

RARE = {  # refusals that no trace can reach
    (L.Kind.DRAW, L.Reason.BAD_VALUE),  # nobody gives the contract seats
    (L.Kind.OPEN_UNIT, L.Reason.BAD_VALUE),  # the market asks for no such unit
}


def test_every_receipt_agrees():
    evm = np.asarray([trace.receipts for trace in played()["traces"]])
    assert evm.shape == (NUM_TRACES, NUM_STEPS)
    where = np.argwhere(evm != played()["reasons"])
    assert where.size == 0, [
        (tuple(w), as_dict(played()["traces"][w[0]].rows[w[1]]), evm[tuple(w)]) for w in where[:3]
    ]


def test_the_whole_state_agrees_after_every_action():
    """That of the slow model does, too: it is compared where the traces are played."""
    traces = played()["traces"]
    evm = {name: np.stack([trace.states[name] for trace in traces]) for name in traces[0].states}
    fields = by_name(genesis(np.zeros(LAYOUT.num_accounts, np.int32)))
    assert set(evm) == set(fields) and not NOT_STORED & set(evm)
    states = {**played()["states"]}
    supply = states["supply"]
    states["supply"] = np.broadcast_to(supply, evm["supply"].shape)
    assert disagreement(evm, states) is None


def test_the_traces_reach_every_phase_and_every_kind():
    kinds = np.asarray([[row[0] for row in trace.rows] for trace in played()["traces"]])
    seen = Counter(zip(kinds.ravel().tolist(), played()["reasons"].ravel().tolist()))
    for kind in L.Kind:
        assert seen[kind, L.Reason.OK] >= 5, kind
        move = L.TRANSITIONS.get(kind.name.lower()) or getattr(votes, kind.name.lower())
        checks = move.__doc__.split("Checks")[1].split("Args:")[0]
        listed = {reason for reason in L.Reason if re.search(rf"\b{reason.name}\b", checks)}
        got = {L.Reason(reason) for k, reason in seen if k == kind}
        assert got <= listed | {L.Reason.OK, L.Reason.UNKNOWN_PARTY}, kind
    assert set(np.unique(played()["states"]["jobs.phase"])) == set(L.Phase)


@pytest.mark.long
def test_two_thousand_traces_agree_and_reach_every_documented_refusal():
    seen = Counter()
    for part in range(10):
        traces = in_processes(play_part(part), 200, 160)
        reasons, states = play_functional(traces)
        evm = np.asarray([trace.receipts for trace in traces])
        assert np.array_equal(evm, reasons)
        ours = {name: np.stack([trace.states[name] for trace in traces]) for name in states}
        states["supply"] = np.broadcast_to(states["supply"], ours["supply"].shape)
        assert disagreement(ours, states) is None
        kinds = np.asarray([[row[0] for row in trace.rows] for trace in traces])
        seen.update(zip(kinds.ravel().tolist(), reasons.ravel().tolist()))
    for kind in L.Kind:
        move = L.TRANSITIONS.get(kind.name.lower()) or getattr(votes, kind.name.lower())
        checks = move.__doc__.split("Checks")[1].split("Args:")[0]
        listed = {reason for reason in L.Reason if re.search(rf"\b{reason.name}\b", checks)}
        listed -= {reason for other, reason in RARE if other == kind}
        assert listed <= {L.Reason(reason) for k, reason in seen if k == kind}, kind


class play_part:
    """`play_contracts` on other seeds; a class, so that it can be sent to a process."""

    def __init__(self, part):
        self.first = 200 * part

    def __call__(self, codes, seeds, num_steps):
        return play_contracts(codes, [self.first + seed for seed in seeds], num_steps)


def faulty(chain, trace):
    """Whether contracts depart from what the sound ones did in a trace."""
    begin(chain, trace.seed)
    for name, known in trace.known._asdict().items():
        getattr(chain.votes, name).update(known)
    for step, (row, receipt) in enumerate(zip(trace.rows, trace.receipts, strict=True)):
        try:
            if chain.act(as_dict(row)) != receipt:
                return True
            if receipt == L.Reason.OK and L.Kind.CLOSE_AUCTION <= row[0] < L.Kind.OPEN_UNIT:
                before = {name: x[step] for name, x in trace.states.items()}
                if disagreement(chain.state(), before):
                    return True
        except (
            ValueError
        ):  # reverted without a reason, an underflow, say; or another list of papers
            return True
    return False


def falls_otherwise(codes):
    """Whether the contracts depart from the ledger where a captured round is overturned or tried.

    Few random traces get that far with something to lose.
    """
    try:
        for play in (fallen, asked_anew):
            play(market=PuppetMarket(LAYOUT, RULES, [0] * LAYOUT.num_accounts, codes.market))
        sleep_through(wait_for_court(TrialMarket({**RULES, "bisection": 1}, codes.market)))
    except (AssertionError, ValueError):
        return True
    return False


@pytest.mark.few(6, rest="long")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_contracts_is_caught(name):
    codes = mutant(name)
    broken = new_chain(codes)
    found = any(faulty(broken, trace) for trace in played()["traces"])
    assert found or falls_otherwise(codes)


def test_without_a_fault_nothing_is_caught():
    sound = new_chain(artifacts())
    assert not any(faulty(sound, trace) for trace in played()["traces"][:6])
    assert not falls_otherwise(artifacts())
