"""A simulated market is its ledger's own: every vote held again by single actions, every booking
by anybody, and the same ledger in every field."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from d2m_jax import ledger as books
from d2m_jax.cone import ConeParams
from tests.market import several
from tests.market.replay import Replay
from tests.worlds import SPEC, digits, market, numbers

pytestmark = pytest.mark.slow

ONE = dataclasses.replace(SPEC, num_rounds=4, eval_every=2, num_nodes=16)
TWO = dataclasses.replace(several.SPEC, num_jobs=2, num_rounds=2, eval_every=2, num_nodes=16)
SAFE, WEAK = ConeParams(base=2, beta=1e-2), ConeParams(base=1, f_max=0.1, beta=0.2)
WORLDS = {
    "honest": ({}, SAFE),
    "mixed": ({"num_colluding": 3, "num_lone_liars": 2, "num_silent": 2}, SAFE),
    "captured": ({"num_colluding": 13, "num_silent": 1, "num_byzantine": 2}, SAFE),
    "captured now and then": ({"num_colluding": 6, "num_silent": 1}, WEAK),
}


@functools.cache
def programs(spec):
    made = market(spec)
    return made, *(jax.jit(f) for f in (made.init, made.step, made.finish))


def played(spec, hparams, seed):
    """The simulated and the replayed market: two ledgers."""
    made, init, step, finish = programs(spec)
    _, data = digits()
    hparams = made.numbers(hparams)
    state = init(jax.random.key(seed), hparams, data)
    replay, rounds = Replay(made, hparams, state), []
    for _ in range(spec.num_rounds):
        after, info = step(state, hparams, data)
        replay.play_round(state, jax.device_get(info))
        assert_same(after.ledger, replay.chain.ledger)
        state, rounds = after, [*rounds, info]
    outcome = finish(state, hparams, data, jax.tree.map(lambda *x: np.stack(x), *rounds), None)
    replay.finish(state, outcome)
    assert_same(outcome.ledger, replay.chain.ledger)
    return outcome, replay.chain


def assert_same(simulated, real):
    """Every field is equal; digests are, one for one, numbers in the simulation."""
    simulated, real = jax.device_get((simulated, real))
    ours, theirs = (
        np.concatenate([x.jobs.results[..., None], x.jobs.papers], -1) for x in (simulated, real)
    )
    for pair in zip(ours.reshape(-1, ours.shape[-1]), theirs.reshape(-1, ours.shape[-1])):
        names = set(zip(*(x.tolist() for x in pair)))
        assert len(names) == len({a for a, _ in names}) == len({b for _, b in names})
        assert all((a == 0) == (b == 0) for a, b in names)
    books_of = [{**vars(x), **vars(x.jobs)} for x in (simulated, real)]
    assert books_of[0].keys() == books_of[1].keys()
    for name in books_of[0].keys() - {"jobs", "results", "papers", "num_nodes"}:
        np.testing.assert_array_equal(books_of[0][name], books_of[1][name], err_msg=name)


@pytest.mark.parametrize("name", WORLDS)
def test_a_market_is_what_a_chain_makes_of_its_votes(name):
    who, cone = WORLDS[name]
    rules = {"slash_wrong_bps": 4_000, "content_window": 50}
    hparams = numbers(population=who, cone=cone, rules=rules)
    outcome, chain = played(ONE, hparams, seed=1)
    facts = books.invariants(chain.ledger)
    assert all(facts.values()), facts
    wrong = np.asarray(outcome.rounds.accepted_digest) > 0
    assert wrong.any() == name.startswith("captured")
    assert bool(outcome.closing.disputed) == bool(outcome.closing.was_true)
    assert bool(outcome.closing.upheld) == (name == "captured now and then")


def test_so_are_two_jobs_side_by_side():
    asked = {"tags": (1, 2), "tau": (0.3, 0.3), "wants": (0, 1, 0, 1, 0, 1)}
    hparams = several.numbers_of_jobs(
        population={"num_colluding": 6, "breadth": 1}, requests=asked, cone=WEAK
    )
    outcome, chain = played(TWO, hparams, seed=2)
    assert all(books.invariants(chain.ledger).values())
    assert np.asarray(outcome.closing.disputed).any()
