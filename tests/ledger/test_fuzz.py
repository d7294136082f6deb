"""Random traces through ledger and votes, and through the slow model: they must agree in all."""

import re
from collections import Counter

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

from d2m_jax import ledger as L
from d2m_jax.ledger import votes
from d2m_jax.ledger.codes import NEXT_PHASES
from tests.ledger.replay import NAMES, imagine, name_of, run, where
from tests.ledger.traces import (
    LAYOUT,
    batch,
    genesis,
    laws_of,
    random_world,
    seeded_draw,
)
from tests.ledger.worlds import same

pytestmark = pytest.mark.slow

NUM_TRACES, NUM_STEPS, CHUNK = 800, 160, 200
MILLION = 6_400  # traces of the slow test, 1,024,000 actions
UNREACHABLE = {(L.Kind.OPEN_UNIT, L.Reason.BAD_VALUE)}  # the ledger asks for no such unit
FIRST_VOTE = L.Kind.OPEN_UNIT

run_one = jax.jit(run)
run_many = jax.jit(jax.vmap(run))


def play(first):
    """What was seen of a chunk of traces, where the two departed from each other, what is kept."""
    draws = [seeded_draw(seed) for seed in range(first, first + CHUNK)]
    games = [imagine([draw] * NUM_STEPS, draw) for draw in draws]
    models, funds, rows, receipts, states = zip(*games)
    world = jax.jit(jax.vmap(genesis))(np.asarray(funds, np.int32)), laws_of(models)
    last, (reasons, facts, moved) = jax.device_get(run_many(*world, batch(rows)))
    odd = np.argwhere(moved != np.stack(states))[:5]
    seen = {
        "kinds": np.asarray([[row[0] for row in trace] for trace in rows]),
        "receipts": np.asarray(receipts),
        "reasons": reasons,
        "facts": facts,
        "phases": moved[..., where("jobs.phase")],
        "odd": [(first + t, s, name_of(k)) for t, s, k in odd.tolist()],
    }
    deep = depth(moved, np.asarray([model.rounds for model in models]))
    return seen, deep, {"world": world, "actions": batch(rows), "last": last, "reasons": reasons}


@pytest.fixture(scope="module")
def played():
    """What was seen of all traces, and where the two departed from each other."""
    parts, deep, keep = zip(*map(play, range(0, NUM_TRACES, CHUNK)))
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {**whole, "first": keep[0], "deep": sum(deep, Counter())}


@pytest.mark.long
def test_a_million_actions_on_two_jobs_at_once_break_nothing():
    """Invariants, receipts and the whole state, against the slow model, in other traces."""
    actions = taken = together = 0
    for first in range(NUM_TRACES, NUM_TRACES + MILLION, CHUNK):
        seen, _, _ = play(first)
        assert seen["facts"].all() and not seen["odd"], seen["odd"]
        np.testing.assert_array_equal(seen["reasons"], seen["receipts"])
        runs = (seen["phases"] >= L.Phase.MATCHED) & (seen["phases"] < L.Phase.SETTLED)
        actions += seen["kinds"].size
        taken += int((seen["reasons"] == L.Reason.OK).sum())
        together += int(runs.all(axis=-1).sum())
        print(f"{actions:,} actions, {taken:,} taken, {together:,} with both jobs running")
    assert actions >= 1_000_000 and taken > actions // 2 and together > actions // 15


def depth(moved, rounds):
    """How often the rare things happened, read off the states [T, S, K]; R of each trace [T]."""
    jobs = LAYOUT.num_jobs

    def read(name):
        field = moved[..., where(f"jobs.{name}")].reshape(*moved.shape[:2], jobs, -1)
        return field[:, :-1], field[:, 1:]

    (phase, then), (old, new), (left, _) = read("phase"), read("results"), read("forfeited")
    (_, spoilt), (before, after) = read("spoilt"), read("round")
    fell, again = (new != old).any(-1, keepdims=True), phase == L.Phase.DISPUTED
    stood = again & (then == L.Phase.CHALLENGE)
    ended = (then == L.Phase.REFUNDED) & (phase != then) & (spoilt != 0)
    booked = after > before
    found = np.take_along_axis(new, np.minimum(before, new.shape[-1] - 1), -1) != 0
    last = rounds[:, None, None, None] - 1
    events = {
        "a round falls": stood & fell & (new != old)[..., :-1].any(-1, keepdims=True),
        "a result stands": stood & ~fell,
        "a later fall finds money of an earlier one": stood & fell & (left > 0),
        "a spoilt job is settled": ended & (phase == L.Phase.CHALLENGE),
        "a spoilt job times out": ended & (phase == L.Phase.DISPUTED),
        "a round has no result": booked & ~found,
        "a job stops early": booked & (then == L.Phase.VERIFY) & (before < last),
    }
    return Counter({name: int(event.sum()) for name, event in events.items()})


def test_the_model_knows_every_field(played):
    model, _ = random_world(seeded_draw(0))
    assert set(NAMES) == set(model.everything())


def test_invariants_hold_after_every_action(played):
    names = [*L.invariants(L.new_ledger(LAYOUT, buyer_funds=1, seller_funds=1, node_funds=1))]
    assert "conserved" in names and played["facts"].shape[:2] == (NUM_TRACES, NUM_STEPS)
    bad = np.argwhere(~played["facts"])
    assert bad.size == 0, bad[:5]


def test_every_receipt_agrees_with_the_model(played):
    bad = np.argwhere(played["reasons"] != played["receipts"])
    assert bad.size == 0, [
        (
            tuple(w),
            L.Kind(int(played["kinds"][tuple(w)])).name,
            L.Reason(int(played["reasons"][tuple(w)])).name,
            L.Reason(int(played["receipts"][tuple(w)])).name,
        )
        for w in bad[:5]
    ]


def test_the_whole_state_agrees_with_the_model_after_every_action(played):
    assert len(played["odd"]) == 0, played["odd"][:5]


def test_the_traces_reach_every_phase_and_every_documented_refusal(played):
    """Also: no transition gives a receipt that its docstring does not list."""
    seen = Counter(zip(played["kinds"].ravel().tolist(), played["reasons"].ravel().tolist()))
    for kind in L.Kind:
        move = L.TRANSITIONS.get(kind.name.lower()) or getattr(votes, kind.name.lower())
        checks = move.__doc__.split("Checks")[1].split("Args:")[0]
        listed = {reason for reason in L.Reason if re.search(rf"\b{reason.name}\b", checks)}
        listed -= {reason for other, reason in UNREACHABLE if other == kind}
        listed |= {L.Reason.UNKNOWN_PARTY} if kind >= FIRST_VOTE else set()
        got = {L.Reason(reason) for k, reason in seen if k == kind}
        assert got == listed | {L.Reason.OK}, (kind, listed ^ got)
        assert seen[kind, L.Reason.OK] >= 50, (kind, seen[kind, L.Reason.OK])
    assert set(np.unique(played["phases"])) == set(L.Phase)


def test_the_traces_go_deep(played):
    assert min(played["deep"].values()) >= 5, played["deep"]


def test_every_legal_step_of_a_job_is_taken(played):
    """All that `NEXT_PHASES` allows has been seen, and nothing else."""
    before, after = played["phases"][:, :-1].ravel(), played["phases"][:, 1:].ravel()
    taken = {(int(a), int(b)) for a, b in set(zip(before.tolist(), after.tolist())) if a != b}
    assert taken == {(int(a), int(b)) for a, steps in NEXT_PHASES.items() for b in steps}


def test_vmap_is_a_loop_bit_for_bit(played):
    """20 of the traces one by one, through `run_trace`."""
    trace, first = jax.jit(L.run_trace), played["first"]
    for i in range(0, CHUNK, CHUNK // 20):
        (chain, laws), actions, last = (
            jax.tree.map(lambda x, i=i: np.asarray(x)[i], first[name])
            for name in ("world", "actions", "last")
        )
        alone, reasons = trace(chain, laws, actions)
        assert same(alone, last)
        np.testing.assert_array_equal(reasons, first["reasons"][i])


@hypothesis.given(st.integers(0, 9_999), st.lists(st.integers(0, 9_999), min_size=1, max_size=40))
@hypothesis.settings(max_examples=60, deadline=None)
def test_hypothesis_traces_agree_with_the_model(world, steps):
    """The same generator driven by hypothesis, so that a disagreement shrinks to a few actions."""
    draws = [seeded_draw(seed) for seed in steps]
    model, funds, rows, receipts, states = imagine(draws, seeded_draw(world))
    idle = (int(L.Kind.WAIT), 0, 0, 0, 0, 0, 0, [0] * 3, [0] * LAYOUT.payload_size)
    actions = jax.tree.map(lambda x: x[0], batch([rows + [idle] * (40 - len(rows))]))
    laws = jax.tree.map(lambda x: x[0], laws_of([model]))
    chain = genesis(np.asarray(funds, np.int32))
    _, (reasons, facts, moved) = run_one(chain, laws, actions)
    assert np.asarray(reasons)[: len(rows)].tolist() == receipts
    assert np.asarray(facts).all()
    np.testing.assert_array_equal(np.asarray(moved)[: len(rows)], states)
