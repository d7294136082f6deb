"""The contract on the EVM and the functional ledger do the same: every receipt, every field."""

import re
from collections import Counter

import numpy as np

from contracts.market import state
from d2m_jax import ledger as L
from tests.contracts.machines import NUM_STEPS, NUM_TRACES, disagreement, played
from tests.ledger.traces import FIELDS, LAYOUT

CHAIN_ONLY = {"block", "num_nodes", "jobs"}  # what is no storage of the contract


def kinds(traces):
    return np.asarray([[row[FIELDS.index("kind")] for row in trace[0]] for trace in traces])


def test_every_receipt_agrees():
    evm = np.asarray([trace[3] for trace in played()["traces"]])
    assert evm.shape == (NUM_TRACES, NUM_STEPS) and NUM_TRACES >= 2_000 and NUM_STEPS >= 40
    where = np.argwhere(evm != played()["reasons"])
    assert where.size == 0, [
        (tuple(w), played()["traces"][w[0]][0][w[1]], evm[tuple(w)], played()["reasons"][tuple(w)])
        for w in where[:3]
    ]


def test_the_whole_state_agrees_after_every_action():
    evm = state(np.stack([trace[4] for trace in played()["traces"]]), LAYOUT)
    jax_side = {**played()["states"]}
    assert set(evm) == set(jax_side) - CHAIN_ONLY
    jax_side["supply"] = np.broadcast_to(jax_side["supply"], evm["supply"].shape)
    assert disagreement(evm, jax_side) is None


def test_the_traces_reach_every_phase_and_every_documented_refusal():
    got = kinds(played()["traces"])
    seen = Counter(zip(got.ravel().tolist(), played()["reasons"].ravel().tolist()))
    for kind in L.Kind:
        checks = L.TRANSITIONS[kind.name.lower()].__doc__.split("Checks")[1].split("Args:")[0]
        listed = {reason for reason in L.Reason if re.search(rf"\b{reason.name}\b", checks)}
        assert {L.Reason(reason) for k, reason in seen if k == kind} == listed | {L.Reason.OK}, kind
        assert seen[kind, L.Reason.OK] >= 50, kind
    assert seen[-1, L.Reason.UNKNOWN_ACTION] and seen[len(L.Kind), L.Reason.UNKNOWN_ACTION]
    assert set(np.unique(played()["states"]["jobs.phase"])) == set(L.Phase)
