"""Real rounds disputed with real hashes, beside the market on the same world."""

import functools

import jax
import numpy as np
import pytest

from d2m_jax import Spec, as_arrays
from d2m_jax.audit.literal_court import literal_dispute
from d2m_jax.court import game
from d2m_jax.court.rounds import fixed, floats, model_of, round_work
from d2m_jax.court.steps import run
from tests import worlds

pytestmark = pytest.mark.slow

SPEC = Spec(
    **{**vars(worlds.SPEC), "sampler": "uniform", "aggregator": "trimmed_mean",
       "contribution": "count"}
)  # fmt: skip
CAPTURED = {"num_colluding": 23}


@functools.cache
def programs():
    market = worlds.market(SPEC)
    return market, jax.jit(market.init), jax.jit(market.step), literal_dispute(market)


def begin(**who):
    hparams = as_arrays(worlds.numbers(population=who, tolerated_f=1))
    _, data = worlds.digits()
    return hparams, data, programs()[1](jax.random.key(3), hparams, data)


def test_one_honest_node_of_24_wins_a_real_round_with_its_model():
    _, _, step, play = programs()
    hparams, data, state = begin(**CAPTURED)
    after, info = step(state, hparams, data)
    assert int(info.accepted_digest) > 0  # the vote was captured
    dispute = play(state, hparams, data)
    assert dispute.holds
    court, size = dispute.played.court, state.learning.theta.size
    assert len(court.claims) == 2 and len(court.duels) == 1
    depth = (2 * size).bit_length()
    assert depth == 11 and dispute.played.answers <= depth + 1
    # its model is the one that the market would have gone on with, to the fixed point
    honest_hparams, _, honest = begin(num_colluding=0)
    fair, told = step(honest, honest_hparams, data)
    assert int(told.accepted_digest) == 0
    np.testing.assert_allclose(dispute.theta, fair.learning.theta, atol=2**-15)
    assert np.abs(dispute.theta - after.learning.theta).max() > 0.01  # not the spoilt one
    # the liars' bonds are gone, the watcher is paid
    paid = court.balances
    first = 1 + int(np.flatnonzero(np.asarray(state.roles.behaviour) == 0)[0])
    assert paid[first] > court.terms.bond and court.burned > 0
    assert max(x for who, x in paid.items() if who != first) < court.terms.bond / 2


def test_without_a_watcher_the_spoilt_model_stands():
    *_, play = programs()
    hparams, data, state = begin(num_colluding=23)
    dispute = play(state, hparams, data, watchers=0)
    assert not dispute.holds and dispute.theta is not None


def test_lone_liars_only_add_rounds():
    *_, play = programs()
    hparams, data, state = begin(num_colluding=10, num_lone_liars=6)
    dispute = play(state, hparams, data, watchers=2, terms=game.Terms(judging=30))
    assert dispute.holds
    assert len(dispute.played.court.claims) == 1 + 6 + 1  # colluders make one
    assert dispute.played.blocks <= 3 * (2 * 40 + 30 + 3)


def test_what_is_not_exact_is_refused():
    *_, play = programs()
    hparams, data, state = begin()
    with pytest.raises(ValueError, match="momentum"):
        learning = hparams.learning.replace(momentum=np.float32(0.5))
        play(state, hparams.replace(learning=learning), data)
    with pytest.raises(ValueError, match="set tolerated_f"):
        play(state, hparams.replace(tolerated_f=np.int32(-1)), data)
    for change in ({"aggregator": "krum"}, {"server_optimizer": "adam"}):
        with pytest.raises(ValueError, match="exact in whole numbers with one of mean"):
            literal_dispute(worlds.market(Spec(**{**vars(SPEC), **change})))


@pytest.mark.parametrize("trim", [0, 1, 2])
def test_whole_numbers_are_as_close_to_floats_as_the_docstring_says(trim):
    draw = np.random.default_rng(trim)
    theta, updates = draw.normal(size=20), draw.normal(size=(5, 20))
    work = round_work(theta, updates, 0.3, trim)
    got = model_of(run(work).memory.values, 5, 20)
    kept = np.sort(updates, 0)[trim : 5 - trim]
    np.testing.assert_allclose(got, theta - 0.3 * kept.mean(0), atol=3 * 2**-16)
    assert floats(fixed(theta)) == pytest.approx(theta, abs=2**-16)
    with pytest.raises(ValueError, match="1 to 64"):
        round_work(theta, updates, 0.3, 3)
