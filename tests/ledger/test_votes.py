"""A vote in one step is the fold of its single actions, and is what CONE decides."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.cone.behaviours import Behaviour
from d2m_jax.cone.consensus import decide
from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.sortition import draw_sets
from d2m_jax.cone.tables import vote_tables
from d2m_jax.ledger.codes import Reason
from d2m_jax.ledger.contents import commitment_of
from d2m_jax.ledger.votes import get_unit, open_content, outcomes
from d2m_jax.ledger.votes_batch import Ballots, settle_votes
from d2m_jax.ledger.votes_machine import Clocked, VoteKind, apply_vote, make_vote_action
from d2m_jax.ledger.votes_state import Stage, make_terms, new_votes
from tests.ledger.model import mix
from tests.ledger.traces import pick, seeded_draw
from tests.ledger.vote_traces import (
    JOBS,
    NODES,
    ROUNDS,
    SELLERS,
    Player,
    random_election,
    terms_of,
)
from tests.ledger.votes_model import VotesModel
from tests.ledger.worlds import same

START = new_votes(JOBS, NODES, SELLERS)
apply = jax.jit(apply_vote)
settle = jax.jit(settle_votes)


class Fold:
    """Single actions of which all are accepted; the slow model says what is fair to draw."""

    def __init__(self, how, terms, draw):
        self.terms, self.model, self.draw = terms, VotesModel(how), draw
        self.state = Clocked(jnp.int32(5), START)
        self.model.block = 5

    def __call__(self, kind, **fields):
        action = make_vote_action(START, VoteKind[kind], **fields)
        self.state, reason = apply(self.state, self.terms, action)
        assert reason == Reason.OK, (kind, fields, Reason(int(reason)))
        self.model.act(
            VoteKind[kind], fields.get("node", 0), fields.get("job", 0), fields.get("amount", 0),
            fields.get("value", 0), fields.get("salt", 0), np.asarray(action.payload).tolist(),
        )  # fmt: skip

    def vote(self, job, stakes, ballots):
        """A whole unit; the seats are made up set by set, and told."""
        self("OPEN_UNIT", job=job, amount=3, value=1, payload=stakes)
        u, drawn = self.model.slots[job], []
        player = Player(self.draw, self.model)
        while u.stage == Stage.OPEN:
            drawn.append(player.fair_seats(job, u))
            self("DRAW", job=job, payload=drawn[-1])
            new = sorted(u.newcomers())
            for node in new:
                ours = ballots.digests[node], ballots.salts[node]
                row = get_unit(self.state.votes, jnp.int32(job))
                promise = commitment_of(row, jnp.int32(job), jnp.int32(node), *map(jnp.int32, ours))
                self("COMMIT_VOTE", job=job, node=node, value=int(promise))
            if new:
                self("WAIT", amount=self.model.how.commit_window)
            told = [node for node in new if ballots.reveals[node] and ballots.digests[node]]
            for node in reversed(told):
                ours = {"value": ballots.digests[node], "salt": ballots.salts[node]}
                self("REVEAL_VOTE", job=job, node=node, **ours)
            if len(told) < len(new):
                self("WAIT", amount=self.model.how.reveal_window)
            self("TALLY", job=job)
        return drawn


@pytest.mark.slow
def test_one_step_is_the_fold_of_the_single_actions():
    """Bit for bit, the clock included: all rules, schedules and sortitions, some nodes silent."""
    stages = set()
    for seed in range(60):
        draw = seeded_draw(seed)
        how = random_election(draw)
        terms, job = terms_of(how), draw(0, JOBS - 1)
        stakes = [pick(draw, (0, 1, 100, 3_000)) * (seed != 0) for _ in range(NODES)]
        ballots = Ballots(
            seats=None,
            digests=[pick(draw, (0, 1, 1, 1, 2, 100 + node)) for node in range(NODES)],
            salts=[draw(-9, 2**31 - 1) for _ in range(NODES)],
            reveals=[draw(0, 3) > 0 for _ in range(NODES)],
        )
        fold = Fold(how, terms, draw)
        drawn = fold.vote(job, stakes, ballots)
        never = [[7] * NODES] * (how.max_sets - len(drawn))  # no draw, so nobody looks at it
        ballots = jax.tree.map(
            jnp.asarray,
            Ballots(
                seats=np.asarray([*drawn, *never], np.int32),
                digests=np.asarray(ballots.digests, np.int32),
                salts=np.asarray(ballots.salts, np.int32),
                reveals=np.asarray(ballots.reveals),
            ),
        )
        votes, block, reason = settle(
            START, terms, block=5, job=job, serial=3, unit=1,
            stakes=jnp.asarray(stakes, jnp.int32), ballots=ballots,
        )  # fmt: skip
        assert reason == Reason.OK
        assert same(Clocked(block, votes), fold.state), (seed, how)
        stages.add(int(votes.stage[job]))
    assert stages == {Stage.DECIDED, Stage.FAILED}


def test_one_step_refuses_what_the_single_actions_refuse():
    how = random_election(seeded_draw(0))
    terms = terms_of(how)
    ballots = Ballots(
        seats=jnp.full((how.max_sets, NODES), 9_999, jnp.int32),
        digests=jnp.ones(NODES, jnp.int32),
        salts=jnp.ones(NODES, jnp.int32),
        reveals=jnp.ones(NODES, bool),
    )
    stakes = jnp.full(NODES, 100, jnp.int32)
    cases = [
        ({"job": JOBS}, Reason.UNKNOWN_JOB),
        ({"serial": 0}, Reason.WRONG_PHASE),
        ({"unit": 2 * ROUNDS + 2}, Reason.BAD_VALUE),
        ({}, Reason.BAD_VALUE),  # the seats
    ]
    for change, expected in cases:
        usual = {"block": 4, "job": 0, "serial": 1, "unit": 0, "stakes": stakes}
        votes, block, reason = settle(START, terms, **{**usual, **change}, ballots=ballots)
        assert reason == expected and block == 4 and same(votes, START), change


POOL = 24
BEHAVIOURS = {"all kinds": (0, 0, 0, 1, 2, 3), "no lone liars": (0, 0, 0, 1, 3)}
WORLDS = [
    ("exponential", rule, "uniform", "all kinds")
    for rule in ("lead", "hypergeometric", "miracle", "majority_last")
] + [
    ("fixed", "lead", "uniform", "all kinds"),
    ("fixed", "lead", "stake", "no lone liars"),
    ("independent", "lead", "uniform", "no lone liars"),
    ("independent", "hypergeometric", "stake", "no lone liars"),
    ("independent", "miracle", "uniform", "no lone liars"),
]


@pytest.mark.few(1)
@pytest.mark.parametrize(("schedule", "rule", "sortition", "kinds"), WORLDS)
def test_a_vote_on_the_ledger_is_what_cone_decides(schedule, rule, sortition, kinds):
    """The same sets, the same nodes: same digest, number of sets, and outcome of every node."""
    by_lot = sortition == "stake" and schedule != "independent"
    params = ConeParams(base=2, size=150 if by_lot else 5, q=0.2, f_max=0.34, beta=0.02)
    how = {"schedule": schedule, "sortition": sortition}
    made = vote_tables(POOL, params, stop_rule=rule, max_attempts=6, **how)
    terms = make_terms(made, num_rounds=3)
    stakes = jnp.arange(1, POOL + 1, dtype=jnp.int32) * 7
    start = new_votes(1, POOL, 1)

    def both(key):
        drawing, acting = jax.random.split(key)
        behaviour = jax.random.choice(acting, jnp.asarray(BEHAVIOURS[kinds], jnp.int32), (POOL,))
        everybody = jnp.ones(POOL, bool)
        options = {**how, "max_attempts": 6, "stake": stakes}
        said = decide(drawing, behaviour, everybody, params, stop_rule=rule, **options)
        sets = draw_sets(drawing, everybody, params, 6, schedule, sortition, stakes)
        sits = sets.seat == jnp.arange(6)[:, None]
        seats = sits.astype(jnp.int32) if sets.votes is None else sets.votes
        digests = jnp.select(
            [behaviour == Behaviour.COLLUDE, behaviour == Behaviour.LONE_LIAR],
            [2, 100 + jnp.arange(POOL)],
            1,
        ).astype(jnp.int32)
        ballots = Ballots(seats, digests, digests, behaviour != Behaviour.SILENT)
        votes, _, reason = settle_votes(
            start, terms, block=0, job=0, serial=1, unit=0, stakes=stakes, ballots=ballots
        )
        row = get_unit(votes, jnp.int32(0))
        accepted = jnp.select([row.accepted == 0, row.accepted < 100], [-1, row.accepted - 1], 2)
        ours = reason, accepted, row.attempt, outcomes(row)
        return ours, (Reason.OK, said.accepted, said.attempts, said.outcome)

    ours, theirs = jax.jit(jax.vmap(both))(jax.random.split(jax.random.key(1), 400))
    for one, other in zip(ours, theirs):
        np.testing.assert_array_equal(one, other)
    assert len(np.unique(ours[1])) >= 2 and len(np.unique(ours[2])) >= 2


def test_a_word_beyond_32_bits_is_no_word_of_a_content():
    """With 64 bits a number of which the lowest 32 are right is another number."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        table = vote_tables(5, ConeParams(base=4, beta=0.3), max_attempts=3)
        content = np.asarray([0, 0, 7, 0, 0, 1, 2, 0, 0], np.int64)
        votes, told = new_votes(1, 5, 2), jnp.asarray(content)
        stage, accepted = jnp.int32([Stage.DECIDED]), jnp.int32([mix(*content.tolist())])
        votes = dataclasses.replace(votes, stage=stage, accepted=accepted)
        terms = make_terms(table, num_rounds=2)
        for change, reason in ((2**32, Reason.BAD_VALUE), (-(2**32), Reason.BAD_VALUE), (0, 0)):
            given = told.at[2].add(change)
            assert int(open_content(votes, terms, job=0, content=given)[1]) == reason
