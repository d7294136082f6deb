"""The votes' contract and the functional votes do the same: every receipt, every field.

And would that be noticed? Small faults are seeded in either machine, one at a time.
"""

import functools
import inspect
import re
from collections import Counter

import jax
import numpy as np
import pytest

from contracts.market import line_of, reason_text
from contracts.votes import SOURCE, compile_votes
from d2m_jax.ledger import counting, votes
from d2m_jax.ledger.codes import Reason
from d2m_jax.ledger.votes_machine import VoteKind
from d2m_jax.ledger.votes_state import Stage
from tests.contracts.test_conformance import swap
from tests.contracts.votes_both import (
    EASY,
    AllThree,
    HashingModel,
    compiled,
    disagreement,
    new_chain,
)
from tests.contracts.votes_machines import (
    NUM_STEPS,
    NUM_TRACES,
    play_all,
    play_contract,
    played,
    run,
)
from tests.ledger.traces import seeded_draw
from tests.ledger.vote_traces import FIELDS, JOBS, Player, random_election, terms_of, vote_batch

UNKEPT = {"content", "points"}  # not in the contract, or not in this form


def test_every_receipt_agrees():
    game = played()
    assert game["receipts"].shape == (NUM_TRACES, NUM_STEPS)
    where = np.argwhere(game["receipts"] != game["reasons"])
    assert where.size == 0, [
        (tuple(w), game["hows"][w[0]], game["rows"][w[0]][w[1]]) for w in where[:3]
    ]


def test_the_whole_state_agrees_after_every_action():
    game = played()
    assert set(game["states"][0][0]) == set(game["votes"]) - UNKEPT
    evm = {
        name: np.asarray([[state[name] for state in states] for states in game["states"]])
        for name in game["states"][0][0]
    }
    assert disagreement(evm, game["votes"]) is None


@pytest.mark.slow
def test_two_thousand_traces_agree():
    game = play_all(2_000)
    assert np.array_equal(game["receipts"], game["reasons"])
    for step in (NUM_STEPS // 2, NUM_STEPS - 1):
        evm = {
            name: np.asarray([states[step][name] for states in game["states"]])
            for name in game["states"][0][0]
        }
        ours = {name: x[:, step] for name, x in game["votes"].items()}
        assert disagreement(evm, ours) is None


def test_the_traces_reach_every_stage_and_every_documented_refusal():
    game = played()
    kinds = np.asarray([[row[0] for row in rows] for rows in game["rows"]])
    seen = Counter(zip(kinds.ravel().tolist(), game["reasons"].ravel().tolist()))
    for kind in list(VoteKind)[1:]:
        checks = getattr(votes, kind.name.lower()).__doc__.split("Checks")[1]
        listed = {r for r in Reason if re.search(rf"\b{r.name}\b", checks.split("Args:")[0])}
        if kind == VoteKind.DRAW:
            listed -= {Reason.BAD_VALUE}  # nobody gives the contract seats
        assert {Reason(r) for k, r in seen if k == kind} == listed | {Reason.OK}, kind
    assert set(np.unique(game["votes"]["stage"])) == set(Stage)


def test_the_traces_hit_every_refusal_of_the_contract():
    """But those of its creation, of a market that gives nonsense, and of a view.

    Where the compiler joins two ways of calling nothing, it names the function instead.
    """
    artifact = compiled()[0]
    hit = {line_of(artifact, pc) for games in played()["refused_at"] for pc, _ in games}
    lines = SOURCE.read_text().splitlines()
    written = {i + 1 for i, line in enumerate(lines) if re.match(r"\s+(assert|raise) ", line)}
    start = next(i for i, line in enumerate(lines) if line.startswith("def __init__"))
    end = next(i for i in range(start, len(lines)) if lines[i].startswith("@"))
    missed = {lines[i - 1].strip() for i in written - set(range(start, end + 1)) - hit}
    assert missed - {"def __default__():"} == {
        'assert len(stakes) == NODES, "LAYOUT"',
        'assert u.stage >= DECIDED, "WRONG_PHASE"',
    }


def test_outcomes_are_not_read_before_the_end_and_are_those_of_the_ledger():
    both = AllThree()
    too_early = both.chain.call(both.chain.anybody, "outcomes", 0)
    assert reason_text(too_early.output) == "WRONG_PHASE"
    for seed in range(12):
        draw = seeded_draw(seed)
        how = random_election(draw)
        both = AllThree(how)
        player = Player(draw, both.model, both.model.seats)
        for _ in range(NUM_STEPS):
            row = both.model.fair(player.action())
            both.model.act(*row)
            both.chain.act(dict(zip(FIELDS, row, strict=True)))
        for job in range(JOBS):
            if both.model.slots[job].stage >= Stage.DECIDED:
                assert told(both.chain, job) == both.model.outcomes(job)


def told(chain, job):
    """The outcome of every node, as the contract tells it."""
    sent = chain.call(chain.anybody, "outcomes", job)
    words = [
        int.from_bytes(sent.output[i : i + 32], "big") for i in range(64, len(sent.output), 32)
    ]
    found = {word // 4: word % 4 for word in words}
    assert len(found) == len(words)
    return [found.get(node, 0) for node in range(chain.num_nodes)]


IN_CONTRACT = {
    "the seed forgets what was revealed": (
        "abi_encode(self, slot, serial, seed, self.mixed[slot])",
        "abi_encode(self, slot, serial, seed, empty(bytes32))",
    ),
    "lots are put back": (
        "                self.urns[slot][w] -= got[w]\n",
        "                pass\n",
    ),
    "the runner-up is the last that was overtaken": (
        "return top, first, max(second, amount)",
        "return top, first, second",
    ),
    "a count does not wait": ("    if u.waiting > 0:\n", "    if u.waiting > 9:\n"),
    "the score of earlier sets is lost": (
        "            s.before = self._with_set(u, s)\n",
        "            s.before = 0\n",
    ),
}


@functools.cache
def suspects():
    """Traces to try the faulty contracts on, by the sound one."""
    return list(zip(range(40), play_contract(compiled(), range(40))))


@pytest.mark.parametrize("name", IN_CONTRACT)
def test_a_fault_in_the_contract_is_caught(name):
    broken = new_chain(EASY, compile_votes(swap(SOURCE.read_text(), *IN_CONTRACT[name])))
    assert any(faulty(broken, *game) for game in suspects())


def faulty(chain, seed, game):
    """Whether the contract departs from the sound one in a trace."""
    rows, how, receipts, states, _ = game
    chain.start_over(terms_of(how))
    draw = seeded_draw(seed)
    model = HashingModel(random_election(draw), chain)
    player = Player(draw, model, model.seats)  # learns the papers
    for row, receipt, state in zip(rows, receipts, states):
        assert model.fair(player.action()) == row
        model.act(*row)
        try:
            reason = chain.act(dict(zip(FIELDS, row, strict=True)))
        except ValueError:  # reverted without a reason
            return True
        if reason != receipt or (reason == Reason.OK and chain.state() != state):
            return True
    return False


IN_VOTES = {
    "a digest is scored by its first set": (
        (counting, "count"),
        "before + look_up(terms, place + now)",
        "jnp.maximum(before, look_up(terms, place + now))",
    ),
    "a tie is won by the first": (
        (votes, "counted"),
        "found.by_votes.first > found.by_votes.second",
        "found.by_votes.first >= found.by_votes.second",
    ),
    "two thirds of those who revealed": (
        (counting, "is_enough"),
        "3 * first >= 2 * size",
        "3 * first >= 2 * (first + second)",
    ),
    "a reveal comes one block late": (
        (votes, "reveal_vote"),
        "late >= terms.reveal_window",
        "late > terms.reveal_window",
    ),
    "who sat before commits again": (
        (votes, "check_seat"),
        "mine != row.attempt",
        "mine == 0",
    ),
    "lots are put back": ((votes, "seated"), "urn=row.urn - taken", "urn=row.urn"),
    "stake is cut finer than into most lots": (
        (votes, "lots_of"),
        "(total - 1) // most + 1",
        "(total - 1) // most",
    ),
}


@functools.cache
def seeded():
    """The functional votes with all faults in them; which of them acts is its first argument."""

    def play(which, *world):
        with pytest.MonkeyPatch.context() as patch:
            for index, (where, *change) in enumerate(IN_VOTES.values()):
                patch.setattr(*where, either(which == index, *where, *change))
            for name in ("count", "is_enough"):
                patch.setattr(votes, name, getattr(counting, name))
            return run(*world)

    return jax.jit(jax.vmap(play, in_axes=(None, 0, 0)))


def either(acts, module, name, old, new):
    """A function that has a fault if `acts`."""
    good, space = getattr(module, name), dict(vars(module))
    exec(swap(inspect.getsource(good), old, new), space)
    bad = space[name]

    def chosen(*args, **options):
        one, other = good(*args, **options), bad(*args, **options)
        if name == "check_seat":  # pairs of a code and a flag
            return [(code, jax.lax.select(acts, b, a)) for (code, a), (_, b) in zip(one, other)]
        return jax.tree.map(lambda a, b: jax.numpy.where(acts, b, a), one, other)

    return chosen


@pytest.mark.parametrize("index", range(-1, len(IN_VOTES)), ids=["none", *IN_VOTES])
def test_a_fault_in_the_functional_votes_is_caught(index):
    game = played()
    terms = jax.tree.map(lambda *x: np.stack(x), *map(terms_of, game["hows"]))
    reasons, state = seeded()(np.int32(index), terms, vote_batch(game["rows"]))
    same = np.array_equal(reasons, game["reasons"]) and all(
        np.array_equal(x, game["votes"][name]) for name, x in vars(state).items()
    )
    assert same == (index < 0)
