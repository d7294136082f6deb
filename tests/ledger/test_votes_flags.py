"""Votes under JAX's flags: int32 and the same results whatever is set."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.core.vote_tables import Score
from d2m_jax.ledger.votes import lots_of, outcomes
from d2m_jax.ledger.votes_batch import Ballots, settle_votes
from d2m_jax.ledger.votes_gas import gas_of_unit
from d2m_jax.ledger.votes_machine import Clocked, VoteKind, apply_vote, make_vote_action
from d2m_jax.ledger.votes_state import new_votes
from tests.ledger.traces import seeded_draw
from tests.ledger.vote_traces import JOBS, NODES, SELLERS, random_election, terms_of
from tests.under_flags import FLAGS, assert_same, under

START = new_votes(JOBS, NODES, SELLERS)
TERMS = terms_of(random_election(seeded_draw(5)))
STAKES = jnp.array([3, 1_000, 0, 2**30, 7, 7, 7], jnp.int32)
BALLOTS = Ballots(
    seats=jnp.eye(4, NODES, dtype=jnp.int32) * 0,
    digests=jnp.ones(NODES, jnp.int32),
    salts=jnp.arange(NODES, dtype=jnp.int32),
    reveals=jnp.arange(NODES) != 2,
)


def settled(stakes, ballots):
    terms = TERMS.replace(independent=jnp.int32(1), rule=jnp.int32(Score.SQUARES))
    ballots = ballots.replace(seats=ballots.seats.at[:, 3].set(1))
    out = settle_votes(
        START, terms, block=1, job=0, serial=1, unit=0, stakes=stakes, ballots=ballots
    )
    return out, jax.vmap(outcomes)(out[0])


CALLS = {
    "settle_votes": (settled, STAKES, BALLOTS),
    "lots_of": (lambda stakes: lots_of(stakes, TERMS), STAKES),
    "gas": (lambda seats: gas_of_unit(64, seats), jnp.array([5, 6, 0], jnp.int32)),
}


@pytest.mark.few(1, each="call")
@pytest.mark.parametrize("flag", FLAGS[1:])
@pytest.mark.parametrize("call", CALLS)
def test_a_flag_changes_nothing(call, flag):
    fn, *args = CALLS[call]
    assert_same(flag, fn, *args)


@pytest.mark.few(1)
@pytest.mark.parametrize("flag", ["x64", "strict", "rank"])
def test_a_trace_of_every_kind_keeps_its_types(flag):
    def play(start):
        kinds = jnp.arange(len(VoteKind), dtype=jnp.int32)
        actions = jax.vmap(lambda kind: make_vote_action(START, kind, payload=[1]))(kinds)
        return jax.lax.scan(lambda state, action: apply_vote(state, TERMS, action), start, actions)

    start = Clocked(jnp.int32(0), START)
    with under(flag):
        after, receipts = jax.eval_shape(play, start)
    assert receipts.dtype == jnp.int32
    for new, old in zip(jax.tree.leaves(after), jax.tree.leaves(start), strict=True):
        assert (new.shape, new.dtype) == (old.shape, old.dtype)


def test_the_call_that_is_tried_decides_something():
    (votes, _, reason), ended = settled(STAKES, BALLOTS)
    assert reason == 0 and int(votes.accepted[0]) == 1 and np.asarray(ended[0]).tolist()[3] == 1
