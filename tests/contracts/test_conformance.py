"""The contract on the EVM and the functional ledger do the same: every receipt, every field.

And would that be noticed? Small faults are seeded in either machine, one at a time.
"""

import functools
import inspect
import re
from collections import Counter

import jax
import numpy as np
import pytest

from contracts.market import SOURCE, Market, compile_market, state
from d2m_jax import ledger as L
from d2m_jax.ledger import (
    auction,
    disputes,
    escrow,
    machine,
    offers,
    seals,
    settlement,
)
from tests.contracts.machines import (
    NUM_STEPS,
    NUM_TRACES,
    artifact,
    as_dict,
    by_name,
    disagreement,
    played,
    run,
)
from tests.ledger.traces import FIELDS, LAYOUT, batch, genesis, typed

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


UNLOCK = "            self.accounts[BUYERS + 1 + i] += place.locked << 32\n"
CLEAR = "            place.locked = 0\n"
HASTY = "an auction is closed while it runs"
IN_CONTRACT = {
    "settlement forgets the deposit before it is given back": (
        UNLOCK + CLEAR,
        CLEAR + UNLOCK,
    ),
    "settlement reads the phase before the round is counted": (
        "    j.round += 1\n    j.phase = TRAINING\n    if j.round >= R.num_rounds:\n"
        "        j.phase = VERIFY\n",
        "    j.phase = TRAINING\n    if j.round >= R.num_rounds:\n        j.phase = VERIFY\n"
        "    j.round += 1\n",
    ),
    "each share is rounded down by itself": (
        "pot * shares // total - paid",
        "pot * weight // total",
    ),
    "what is left of the bond of a false dispute is not burned": (
        "    burned: uint256 = left\n",
        "    burned: uint256 = 0\n",
    ),
    "who was outvoted stays slashed": (
        "self.posts[slot][n] -= post.held * (1 | 1 << 32)",
        "self.posts[slot][n] -= post.held << 32",
    ),
    "guilty nodes keep what they earned": (
        "self.posts[slot][n] -= earned << 64\n                forfeited += earned\n",
        "forfeited += 0 * earned\n",
    ),
    "anybody opens the metric": (
        "    self._check(self.seat_of[msg.sender] == j.buyer, NOT_AUTHORISED)\n",
        "",
    ),
    HASTY: (
        "    self._check(waited >= R.auction_window + R.sealed * R.reveal_window, TOO_EARLY)\n",
        "",
    ),
    "an unrevealed deposit goes back whole": (
        "            back -= self._part(offer.deposit, R.unrevealed_bps)\n",
        "",
    ),
    "of two equal bids the later seat wins": ("if offer.bid > best:", "if offer.bid >= best:"),
    "an equal open bid takes the lead": (
        "units > self._offer(slot, j.buyer).bid",
        "units >= self._offer(slot, j.buyer).bid",
    ),
    "a seller works for less than its ask": ("        and listing.ask <= pool\n", ""),
    "a seller leaves in the block of the first bid": (
        "account.asked_at < since",
        "account.asked_at <= since",
    ),
}

NOT_A_PARTY = "(Reason.NOT_AUTHORISED, ~is_party),\n"
TAGS = "*check_tags(ledger, row, tags),\n"
TOO_LOW = "(Reason.BID_TOO_LOW, too_low),\n"
WINDOW_OVER = "(Reason.TOO_LATE, ledger.block - row.since >= rules.challenge_window),\n"
IN_LEDGER = {
    "a node without a pledge earns": (
        (settlement, "settle_round"),
        "matching = (row.pledged > 0) & ",
        "matching = ",
    ),
    "what the outvoted missed is paid by the price": (
        (disputes, "amend"),
        "jnp.minimum(owed.sum(dtype=jnp.int32), forfeited)",
        "owed.sum(dtype=jnp.int32)",
    ),
    "the prize may pass the bond": (
        (disputes, "spend"),
        "prize = jnp.minimum(left, row.bond)",
        "prize = left",
    ),
    "a buyer takes the model after its window": (
        (offers, "take"),
        ">= rules.challenge_window",
        "> rules.challenge_window",
    ),
    "two checks of a dispute change places": (
        (disputes, "open_dispute"),
        f"{NOT_A_PARTY}            {WINDOW_OVER}",
        f"{WINDOW_OVER}            {NOT_A_PARTY}",
    ),
    "a settled job pays slashed sellers": (
        (settlement, "settle"),
        "jnp.where(row.excluded, 0, row.weights)",
        "row.weights",
    ),
    "a time-out comes one block late": (
        (escrow, "time_out"),
        "< rules.timeout",
        "<= rules.timeout",
    ),
    "two checks of a bid change places": (
        (auction, "bid"),
        f"{TAGS}            {TOO_LOW}",
        f"{TOO_LOW}            {TAGS}",
    ),
    "a reveal may come one block late": (
        (seals, "reveal"),
        "late >= rules.reveal_window",
        "late > rules.reveal_window",
    ),
    "an unrevealed seal may win": (
        (auction, "winner_of"),
        "jnp.where(row.bids.max(initial=0) > 0, best, NOBODY)",
        "best",
    ),
    "a missed metric pays like a partial payment": (
        (settlement, "earned_by_sellers"),
        "rules.partial_payment != 0",
        "rules.partial_payment >= 0",
    ),
    "the second price ignores the reserve": (
        (auction, "price_of"),
        "jnp.maximum(jnp.maximum(rules.reserve, 1), others)",
        "others",
    ),
}


def swap(text, old, new):
    assert text.count(old) == 1, old
    return text.replace(old, new)


@functools.cache
def mutant(name):
    """The contract with one of the faults."""
    return compile_market(swap(SOURCE.read_text(), *IN_CONTRACT[name]))


@pytest.mark.parametrize("name", IN_CONTRACT)
def test_a_fault_in_the_contract_is_caught(name):
    market = Market(mutant(name), LAYOUT, L.DEFAULT_RULES, [0] * LAYOUT.num_accounts)
    assert any(faulty(market, index) for index in range(len(played()["traces"])))


def faulty(market, index):
    """Whether the contract departs from what the functional ledger did in one of the traces."""
    rows, rules, funds = played()["traces"][index][:3]
    market.start_over(rules, funds)
    for step, row in enumerate(rows):
        try:
            reason = market.act(as_dict(row))
        except ValueError:  # reverted without a reason: an underflow, say
            return True
        if reason != played()["reasons"][index, step]:
            return True
    expected = {name: x[index, -1] for name, x in played()["states"].items() if hasattr(x, "shape")}
    return disagreement(state(market.words(), LAYOUT), expected) is not None


@functools.cache
def seeded():
    """The functional ledger with all faults in it; which of them acts is its first argument."""

    def play(which, *world):
        with pytest.MonkeyPatch.context() as patch:
            # Anything traced before would be reused: give the branches new names.
            new = {
                kind: lambda *args, old=old: old(*args) for kind, old in machine.BRANCHES.items()
            }
            patch.setattr(machine, "BRANCHES", new)
            for index, (where, *change) in enumerate(IN_LEDGER.values()):
                patch.setattr(*where, either(which == index, *where, *change))
            return run(*world)

    return jax.jit(jax.vmap(play, in_axes=(None, 0, 0, 0)))


def either(acts, module, name, old, new):
    """A function of the ledger that has a fault if `acts`."""
    good = getattr(module, name)
    space = dict(good.__globals__)
    exec(swap(inspect.getsource(good), old, new), space)
    bad = space[name]

    def chosen(*args, **options):
        return jax.lax.cond(acts, lambda: bad(*args, **options), lambda: good(*args, **options))

    return chosen


@functools.cache
def worlds():
    """What the ledger needs to play the traces, and what the contract did."""
    traces = played()["traces"]
    rows, rules, funds, receipts, words = zip(*(trace[:5] for trace in traces))
    ledgers = jax.jit(jax.vmap(genesis))(np.asarray(funds, np.int32))
    evm = np.asarray(receipts), state(np.stack(words), LAYOUT)
    return (ledgers, typed(rules), batch(rows)), evm


def departs(which):
    """Whether a functional ledger with this fault (-1: none) departs from the contract."""
    world, (receipts, words) = worlds()
    reasons, states = jax.device_get(seeded()(np.int32(which), *world))
    return not np.array_equal(reasons, receipts) or disagreement(words, by_name(states)) is not None


@pytest.mark.parametrize("index", range(len(IN_LEDGER)), ids=list(IN_LEDGER))
def test_a_fault_in_the_functional_ledger_is_caught(index):
    assert departs(index)


def test_without_a_fault_nothing_is_caught():
    assert not departs(-1)
    sound = Market(artifact(), LAYOUT, L.DEFAULT_RULES, [0] * LAYOUT.num_accounts)
    assert not any(faulty(sound, index) for index in range(20))
