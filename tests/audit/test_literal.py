"""Real rounds of a market decided literally, beside the vote model on the same world."""

import dataclasses
import functools
import types

import jax
import numpy as np
import pytest

from d2m_jax import as_arrays
from d2m_jax import ledger as books
from d2m_jax.attacks import Attack
from d2m_jax.audit.literal import literal_round
from d2m_jax.cone import Outcome
from d2m_jax.cone.hashing import result_digest
from d2m_jax.ledger import wealth
from d2m_jax.ledger.contents import verification_content
from d2m_jax.market.closing import open_examples
from d2m_jax.market.round import learn
from d2m_jax.market.step import scene_of
from d2m_jax.market.variants import stages_of
from tests import worlds

pytestmark = pytest.mark.slow

ROUNDS = 4
MIXED = {"num_colluding": 5, "num_lone_liars": 2, "num_silent": 2, "num_copying": 2}
WORLDS = {
    "honest": {},
    "mixed": {**MIXED, "num_adaptive": 2, "num_byzantine": 2},
    "captured": {"num_colluding": 17, "num_silent": 2, "num_byzantine": 2},
}


@functools.cache
def programs():
    market = worlds.market()
    return market, jax.jit(market.init), jax.jit(market.step), literal_round(market)


def begin(who, **conduct):
    _, data = worlds.digits()
    hparams = as_arrays(worlds.numbers(population=who, conduct=conduct))
    return hparams, data, programs()[1](jax.random.key(3), hparams, data)


@pytest.mark.parametrize("name", WORLDS)
def test_literal_votes_on_real_rounds_accept_what_the_vote_model_accepts(name):
    market, _, step, play = programs()
    hparams, data, state = begin(WORLDS[name], spoil=1.0)
    models = []
    for index in range(ROUNDS):
        literal = play(state, hparams, data)
        after, info = step(state, hparams, data)
        vote = literal.vote
        assert not literal.caught.any()
        assert sorted(literal.sellers) == sorted(np.asarray(info.sellers))
        assert vote.attempts == int(info.attempts) and vote.executions == int(info.executions)
        # the accepted model, right or spoilt, is the one that the market goes on with
        assert int(info.accepted_digest) == int(name == "captured")
        np.testing.assert_allclose(vote.theta, after.learning.theta, rtol=1e-5, atol=1e-5)
        assert vote.digest == result_digest(0, index, vote.theta)
        models.append(vote.digest)
        # the same nodes are paid and slashed, to the unit
        decision = literal_decision(state.ledger, vote)
        settled, receipt = books.book_round(
            state.ledger, market.parts.rules(hparams), actor=5, job=0, decision=decision
        )
        assert receipt == books.Reason.OK
        for field in ("earned", "pledged", "held", "compute_pool", "round", "serial"):
            expected = np.asarray(getattr(after.ledger.jobs, field))
            np.testing.assert_array_equal(getattr(settled.jobs, field), expected, err_msg=field)
        state = after
    assert len(set(models)) == ROUNDS  # a real round moves the model
    assert np.asarray(state.ledger.jobs.held).any() == (name != "honest")


def test_a_seller_with_two_faces_is_dropped_by_all_and_named():
    market, _, _, play = programs()
    hparams, data, state = begin({"num_colluding": 4})

    def two_faces(node, updates):
        served = updates.copy()
        if node % 2:
            served[2] = np.nextafter(served[2], np.float32(9))  # the last bit of each entry
        return served

    literal = play(state, hparams, data, two_faces)
    assert np.flatnonzero(literal.caught).tolist() == [int(literal.sellers[2])]
    fair, honest = play(state, hparams, data), np.asarray(state.roles.behaviour) == 0
    # one vote as for honest sellers, for the model without its row
    assert literal.vote.executions == fair.vote.executions
    drawn = literal.vote.outcome != Outcome.NOT_DRAWN
    assert (literal.vote.outcome[drawn & honest] == Outcome.MATCHED).all()
    assert literal.vote.digest != fair.vote.digest
    expected = without_row(market, state, hparams, data, 2)
    np.testing.assert_allclose(literal.vote.theta, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(literal.vote.theta - fair.vote.theta).max() > 1e-3
    # whoever verifies says so: it has no weight, and loses its deposit and its place
    assert_banned_in_the_end(market, state, hparams, literal.caught)


def literal_decision(ledger, vote):
    """What the ledger sees of a literal vote: any number may stand for a digest."""
    drawn = vote.outcome != Outcome.NOT_DRAWN
    papers = np.select([vote.outcome == Outcome.MATCHED, vote.outcome == Outcome.WRONG], [7, 9], 0)
    return books.Decision(
        serial=ledger.jobs.serial[0], is_over=np.bool_(True), accepted=np.int32(7),
        is_open=np.bool_(True), since=ledger.block, drawn=drawn, papers=papers.astype(np.int32),
        content=np.zeros(2 * ledger.tags.shape[0] + 5, np.int32),
    )  # fmt: skip


def assert_banned_in_the_end(market, state, hparams, caught):
    """The job is verified with evidence of harm against these sellers, and settled."""
    rules = dataclasses.replace(market.parts.rules(hparams), num_rounds=np.int32(1))
    ledger, job = open_examples(state.ledger, rules, 0), {"actor": 5, "job": 0}
    nobody = np.zeros(market.spec.num_nodes, np.int32)
    vote = literal_vote(nobody)
    ledger, _ = books.book_round(ledger, rules, **job, decision=literal_decision(ledger, vote))
    content = verification_content(
        np.int32(9_000), np.int32(0), ledger.jobs.model[0], ledger.jobs.metric[0],
        np.where(caught, 0, 100), caught,
    )  # fmt: skip
    decision = literal_decision(ledger, vote).replace(content=content)
    ledger, _ = books.book_verification(ledger, rules, **job, decision=decision)
    ledger, _ = books.advance(ledger, rules, blocks=rules.challenge_window)
    ledger, receipt = books.settle(ledger, rules, **job)
    assert receipt == books.Reason.OK
    span = market.layout.sellers
    np.testing.assert_array_equal(ledger.banned[span], caught)
    lost = np.asarray(wealth(state.opening) - wealth(ledger))[span]
    np.testing.assert_array_equal(lost > 0, caught)
    assert lost[caught] == hparams.rules["seller_deposit"]


def literal_vote(outcome):
    """Of a vote only how it ended for the nodes."""
    return types.SimpleNamespace(outcome=outcome)


def without_row(market, state, hparams, data, row):
    """The model of a round in which one of the sampled sellers sent nothing usable."""
    spoil = Attack(forge=lambda key, updates, *_, **__: updates.at[row].set(np.nan))
    parts = market.parts._replace(attack=spoil)

    @jax.jit
    def model(state, hparams, data):
        scene = scene_of(parts, state, hparams, data)
        _, work = learn(parts, stages_of(parts), scene)
        return state.learning.theta - scene.rate * work.direction

    return model(state, hparams, data)
