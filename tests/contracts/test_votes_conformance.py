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

from contracts.compiler import place_of, source_of
from contracts.market import hash_papers
from contracts.votes import compile_votes
from d2m_jax.core.outcomes import Outcome
from d2m_jax.ledger import counting, votes
from d2m_jax.ledger.codes import Reason
from d2m_jax.ledger.votes_machine import VoteKind
from d2m_jax.ledger.votes_state import Stage
from tests.contracts.mutants import swap
from tests.contracts.votes_both import (
    EASY,
    AllThree,
    HashingModel,
    compiled,
    disagreement,
    new_chain,
    shared_chain,
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

pytestmark = pytest.mark.slow

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


@pytest.mark.long
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
    """But those of its creation, and of a market that gives nonsense.

    Where the compiler joins two ways of calling nothing, it names the function instead.
    """
    artifact = compiled()[0]
    hit = {place_of(artifact, pc)[1] for games in played()["refused_at"] for pc, _ in games}
    lines = source_of("D2MVotes").splitlines()
    written = {i + 1 for i, line in enumerate(lines) if re.match(r"\s+(assert|raise) ", line)}
    start = next(i for i, line in enumerate(lines) if line.startswith("def __init__"))
    end = next(i for i in range(start, len(lines)) if lines[i].startswith("@"))
    missed = {lines[i - 1].strip() for i in written - set(range(start, end + 1)) - hit}
    assert missed - {"def __default__():"} == {
        'assert len(stakes) == (NODES + 3) // 4, "LAYOUT"',
    }


def test_outcomes_are_those_of_the_ledger():
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
    sent = chain.call(chain.anybody, "decision", job)
    sets = {Outcome.MATCHED: 6, Outcome.WRONG: 10, Outcome.SILENT: 14}  # four words each
    words = [int.from_bytes(sent.output[i : i + 32], "big") for i in range(0, 32 * 18, 32)]
    found = [Outcome.NOT_DRAWN] * chain.num_nodes
    for outcome, start in sets.items():
        for node in range(chain.num_nodes):
            if words[start + node // 256] >> node % 256 & 1:
                assert found[node] == Outcome.NOT_DRAWN
                found[node] = outcome
    return found


def test_before_the_end_nobody_is_right_or_wrong():
    both = AllThree()
    both("OPEN_UNIT", amount=1, payload=[100] * 7)("DRAW")
    assert Outcome.MATCHED not in told(both.chain, 0) and Outcome.WRONG not in told(both.chain, 0)


def test_the_papers_that_are_told_are_those_revealed_and_hash_to_what_the_market_keeps():
    game = played()
    some = [i for i, states in enumerate(game["states"]) if any(states[-1]["digests"][0])][:6]
    assert len(some) == 6
    for index in some:
        chain = replayed(index)
        sent = chain.call(chain.anybody, "papers_of", 0)
        words = [sent.output[i : i + 32] for i in range(64, len(sent.output), 32)]
        papers = [(int.from_bytes(n, "big"), d) for n, d in zip(words[::2], words[1::2])]
        assert papers == chain.papers_of(0) and papers
        digests = {node: chain.number(digest) for node, digest in papers}
        assert [digests.get(n, 0) for n in range(chain.num_nodes)] == chain.state()["digests"][0]
        kept = chain.call(chain.anybody, "decision", 0).output[160:192]
        assert kept == hash_papers(papers)


def replayed(index):
    """The contract after one of the traces."""
    draw, game = seeded_draw(index), played()
    chain = shared_chain()
    chain.start_over(terms_of(game["hows"][index]))
    model = HashingModel(random_election(draw), chain)
    player = Player(draw, model, model.seats)
    for row in game["rows"][index]:
        assert model.fair(player.action()) == row
        model.act(*row)
        chain.act(dict(zip(FIELDS, row, strict=True)))
    return chain


IN_CONTRACT = {
    "the seed forgets what was revealed": (
        "abi_encode(self, slot, serial, seed, salts)",
        "abi_encode(self, slot, serial, seed, empty(bytes32))",
    ),
    "what an earlier job left open chooses the seats": (
        "self.mixed[slot] if unit > 0 else empty(bytes32)",
        "self.mixed[slot]",
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
    broken = new_chain(EASY, compile_votes(swap(source_of("D2MVotes"), *IN_CONTRACT[name])))
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
        "(pledged - 1) // most + 1",
        "(pledged - 1) // most",
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
