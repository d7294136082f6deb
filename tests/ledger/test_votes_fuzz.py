"""Thousands of random votes through the arrays and through the slow model: they must agree."""

import re
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.ledger import votes as transitions
from d2m_jax.ledger.codes import Reason
from d2m_jax.ledger.votes import outcomes
from d2m_jax.ledger.votes_machine import Clocked, VoteKind, apply_vote
from d2m_jax.ledger.votes_state import Stage, new_votes
from tests.ledger.traces import seeded_draw
from tests.ledger.vote_traces import JOBS, NODES, SELLERS, play, terms_of, vote_batch

pytestmark = pytest.mark.slow

NUM_TRACES, NUM_STEPS = 2_000, 60
START = Clocked(jnp.int32(0), new_votes(JOBS, NODES, SELLERS))


def run(terms, actions):
    """Every receipt and stage, what a refusal changed, and the state at the end."""

    def step(before, action):
        after, reason = apply_vote(before, terms, action)
        pairs = zip(jax.tree.leaves(after), jax.tree.leaves(before))
        still = jnp.all(jnp.stack([jnp.all(new == old) for new, old in pairs]))
        return after, (reason, (reason == Reason.OK) | still, after.votes.stage)

    last, seen = jax.lax.scan(step, START, actions)
    return last, seen, jax.vmap(outcomes)(last.votes)


@pytest.fixture(scope="module")
def played():
    """All traces, played by both."""
    games = [play(seeded_draw(seed), NUM_STEPS) for seed in range(NUM_TRACES)]
    models, rows, receipts = zip(*games)
    terms = jax.tree.map(lambda *x: np.stack(x), *(terms_of(model.how) for model in models))
    actions = vote_batch(rows)
    last, (reasons, quiet, stages), ends = jax.device_get(jax.jit(jax.vmap(run))(terms, actions))
    return {
        **{"models": models, "receipts": np.asarray(receipts), "actions": actions},
        **{"last": last, "reasons": reasons, "quiet": quiet, "stages": stages, "ends": ends},
    }


def test_every_receipt_agrees_and_a_refusal_changes_nothing(played):
    where = np.argwhere(played["reasons"] != played["receipts"])
    assert where.size == 0, [
        (
            tuple(w),
            played["models"][w[0]].how,
            VoteKind(int(played["actions"].kind[tuple(w)])).name,
            Reason(int(played["reasons"][tuple(w)])).name,
            Reason(int(played["receipts"][tuple(w)])).name,
        )
        for w in where[:3]
    ]
    assert played["quiet"].all()


def test_the_whole_state_agrees_at_the_end(played):
    votes = vars(played["last"].votes)
    expected = [model.everything() for model in played["models"]]
    assert set(votes) == set(expected[0]) | {"points"}
    for name in expected[0]:
        want = np.asarray([end[name] for end in expected])
        np.testing.assert_array_equal(votes[name], want, err_msg=name)
    blocks = [model.block for model in played["models"]]
    np.testing.assert_array_equal(played["last"].block, blocks)


def test_how_every_node_ended_agrees(played):
    over = played["last"].votes.stage >= Stage.DECIDED
    want = [[model.outcomes(job) for job in range(JOBS)] for model in played["models"]]
    np.testing.assert_array_equal(played["ends"][over], np.asarray(want)[over])
    assert set(np.unique(played["ends"][over])) == {0, 1, 2, 3}


def test_the_traces_reach_every_stage_and_every_documented_refusal(played):
    """Also: no transition gives a receipt that its docstring does not list."""
    kinds = played["actions"].kind.ravel().tolist()
    seen = Counter(zip(kinds, played["reasons"].ravel().tolist()))
    for kind in list(VoteKind)[1:]:
        checks = getattr(transitions, kind.name.lower()).__doc__.split("Checks")[1]
        listed = {r for r in Reason if re.search(rf"\b{r.name}\b", checks.split("Args:")[0])}
        got = {Reason(reason) for k, reason in seen if k == kind}
        assert got == listed | {Reason.OK}, (kind, listed ^ got)
        assert seen[kind, Reason.OK] >= 50, (kind, seen[kind, Reason.OK])
    assert set(np.unique(played["stages"])) == set(Stage)


def test_every_rule_decides_in_every_way_of_drawing(played):
    decided = (played["stages"] == Stage.DECIDED).any(axis=(1, 2))
    found = {
        (m.how.rule, m.how.schedule, m.how.by_stake)
        for m, good in zip(played["models"], decided) if good
    }  # fmt: skip
    assert len(found) == 4 * 6
