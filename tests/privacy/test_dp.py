"""Clipping, noise, Poisson batches; epsilon against closed forms."""

import dataclasses
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, chisquare, norm

from d2m_jax import Spec, as_arrays, privacy, tasks, validate
from d2m_jax.config.hparams import HParams, Privacy
from d2m_jax.config.parsing import Config
from d2m_jax.config.spec import DataSpec
from d2m_jax.market.round import draw
from d2m_jax.market.step import scene_of
from d2m_jax.market.variants import stages_of
from d2m_jax.privacy import dp
from d2m_jax.privacy.accountant import epsilons, zcdp_epsilon
from d2m_jax.report.results import seller_epsilons
from tests.worlds import SPEC, digits, market, numbers, play


def gaussian_epsilon(noise, times, delta):
    """Epsilon of `times` Gaussian mechanisms, closed form (Balle and Wang 2018, theorem 8)."""
    mu = math.sqrt(times) / noise
    gap = lambda e: norm.cdf(mu / 2 - e / mu) - math.exp(e) * norm.cdf(-mu / 2 - e / mu) - delta
    return brentq(gap, 0, 100)


@pytest.mark.parametrize("noise, times", [(2.0, 1), (5.0, 30), (1.5, 4)])
def test_epsilon_of_noised_updates_against_the_closed_form(noise, times):
    known = {"unit": "update", "batch_size": 1, "noise": noise, "delta": 1e-5}
    exact = gaussian_epsilon(noise, times, 1e-5)
    tight = epsilons([times], [100], **known).values[0]
    loose = epsilons([times], [100], **known, accountant="rdp").values[0]
    assert tight == pytest.approx(exact, rel=1e-6)
    assert exact < loose < zcdp_epsilon(times, noise, 1e-5)


def test_epsilon_behaves_as_it_must():
    known = {"unit": "example", "delta": 1e-5}
    few, many, none = epsilons(
        [10, 60, 0], [400, 400, 400], batch_size=32, noise=1.0, **known
    ).values
    assert 0 == none < few < many
    small, large = epsilons([20, 20], [40, 4000], batch_size=32, noise=1.0, **known).values
    assert large < small
    assert np.isinf(epsilons([1], [40], batch_size=8, noise=0.0, **known).values[0])
    # a seller whose batch is all it holds gets no amplification
    whole = epsilons([5], [16], batch_size=32, noise=2.0, **known).values[0]
    assert whole == pytest.approx(gaussian_epsilon(2.0, 5, 1e-5), rel=2e-3)


def test_noise_on_updates_has_the_stated_spread():
    keys = jax.random.split(jax.random.key(0), 4000)
    draw = jax.jit(jax.vmap(lambda key: dp.private_update(key, jnp.array([30.0, 40.0]), 5.0, 0.7)))
    sent = np.asarray(draw(keys))
    np.testing.assert_allclose(sent.mean(0), [3, 4], atol=0.2)
    np.testing.assert_allclose(sent.std(0), [3.5, 3.5], rtol=0.05)


def poisson_batches(size, batch, count, seed=1):
    """[count, size] bool, which examples were in each batch; nothing is in it twice."""
    draw = jax.jit(jax.vmap(lambda key: dp.poisson_batch(key, jnp.int32(size), batch)))
    places, in_batch = map(np.asarray, draw(jax.random.split(jax.random.key(seed), count)))
    chosen = np.zeros((count, size), int)
    np.add.at(chosen, (np.nonzero(in_batch)[0], places[in_batch]), 1)
    assert chosen.max() == 1 and not places[~in_batch].any()
    return chosen.astype(bool)


@pytest.mark.parametrize("size, batch", [(4, 2), (5, 1), (5, 4), (3, 2)])
def test_every_poisson_batch_has_the_probability_of_independent_draws(size, batch):
    """All 2^size sets against q^k (1 - q)^(size - k)."""
    chosen = poisson_batches(size, batch, 40_000)
    seen = np.bincount(chosen @ (1 << np.arange(size)), minlength=2**size)
    members = ((np.arange(2**size)[:, None] >> np.arange(size)) & 1).sum(1)
    chance = batch / size
    expected = len(chosen) * chance**members * (1 - chance) ** (size - members)
    assert chisquare(seen, expected).pvalue > 1e-3


def test_poisson_batches_have_binomial_counts_and_even_independent_chances():
    size, batch, draws = 40, 10, 20_000
    chosen = poisson_batches(size, batch, draws)
    q, counts = batch / size, np.bincount(chosen.sum(1), minlength=size + 1)
    expected = draws * binom(size, q).pmf(np.arange(size + 1))
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected) + 5).all()
    spread = np.sqrt(q * (1 - q) / draws)
    np.testing.assert_allclose(chosen.mean(0), q, atol=5 * spread)
    pairs = np.cov(chosen.T, bias=True) - q * (1 - q) * np.eye(size)
    assert np.abs(pairs).max() < 6 * q * (1 - q) / math.sqrt(draws)


def test_a_seller_whose_batch_is_all_it_holds_gives_all_and_a_full_batch_is_rare():
    for size in (1, 5, 10):
        places, inside = dp.poisson_batch(jax.random.key(0), jnp.int32(size), 10)
        assert sorted(np.asarray(places)[np.asarray(inside)]) == list(range(size))
    capacity = dp.batch_capacity(32)
    assert binom(10_000, 32 / 10_000).sf(capacity) < 1e-7
    large = poisson_batches(100_000, 32, 300)  # the chance is 3.2e-4, far below a float32's step
    assert abs(large.sum(1).mean() - 32) < 5 * math.sqrt(32 / 300)
    assert large[:, 50_000:].sum() / large.sum() == pytest.approx(0.5, abs=0.03)


def test_private_sellers_are_means_of_clipped_gradients():
    dataset, data = digits()
    model = tasks.make_model("logreg", dataset)
    theta = model.init(jax.random.key(0))
    got = jax.jit(
        lambda clip, noise: dp.private_sellers(
            model,
            jax.random.key(3),
            theta,
            data,
            jnp.array([2, 5]),
            batch_size=12,
            clip=clip,
            noise=noise,
        )
    )
    plain = got(0.5, 0.0)
    seller = 5
    key = jax.random.split(jax.random.fold_in(jax.random.key(3), seller), 3)[0]
    places, in_batch = dp.poisson_batch(key, data.sizes[seller], 12)
    total = np.zeros(model.num_params)
    for place in np.asarray(places)[np.asarray(in_batch)]:
        example = model.prepare(data.examples_of(seller, jnp.array([place])), data.stats)
        g = np.asarray(model.gradient(theta, example), np.float64)
        total += g * min(1, 0.5 / np.linalg.norm(g))
    np.testing.assert_allclose(plain[1], total / 12, atol=1e-5)
    noised = got(0.5, 2.0) - plain
    assert float(noised.std()) == pytest.approx(2.0 * 0.5 / 12, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("unit", privacy.UNITS)
def test_the_round_uses_the_unit_of_the_spec(unit):
    _, data = digits()
    made = market(dataclasses.replace(SPEC, privacy=unit, attack="none"))
    hparams = numbers(privacy=Privacy(clip=0.1, noise=0.0))
    hparams = as_arrays(dataclasses.replace(hparams, attack={}))

    @jax.jit
    def work(key, hparams, data):
        scene = scene_of(made.parts, made.init(key, hparams, data), hparams, data)
        return stages_of(made.parts).work(made.parts, scene, draw(made.parts, scene))

    worked = work(jax.random.key(4), hparams, data)
    np.testing.assert_array_equal(worked.own, worked.updates)
    norms = np.linalg.norm(worked.updates, axis=1)
    if unit == "none":
        assert (norms > 0.5).all()
    elif unit == "update":
        np.testing.assert_allclose(norms, 0.1, rtol=1e-5)
    else:  # a mean of vectors of 0.1 at most; a Poisson batch may hold some more than expected
        assert (norms < 0.2).all() and (norms > 0.01).all()


@pytest.mark.long
def test_a_market_with_private_sellers_trains_and_noise_costs_accuracy():
    spec, accuracy = dataclasses.replace(SPEC, privacy="example", attack="none"), {}
    for noise in (0.0, 30.0):
        hparams = numbers(privacy=Privacy(clip=20.0, noise=noise), learning={"lr": 1.0})
        outcome = play(dataclasses.replace(hparams, attack={}), spec=spec)
        accuracy[noise] = float(outcome.test_metric)
    assert accuracy[0.0] > 0.8
    assert accuracy[30.0] < accuracy[0.0] - 0.05


def test_the_account_of_a_run_takes_what_sellers_hold_not_what_they_claim():
    hparams = HParams(privacy=Privacy(noise=1.0))
    spec = Spec(num_sellers=2, batch_size=32, privacy="example")
    rounds = SimpleNamespace(sellers=np.array([[0, 1]] * 20), present=np.ones((20, 2), bool))
    outcome = SimpleNamespace(rounds=rounds, ledger=SimpleNamespace(sizes=np.array([250, 50])))
    found = seller_epsilons(Config(DataSpec(), spec, hparams, 0), outcome, np.array([50, 50]))
    known = {"unit": "example", "batch_size": 32, "noise": 1.0, "delta": hparams.privacy.delta}
    drawn, always = found["epsilon_ex_post"], found["epsilon"]
    assert drawn[0] == drawn[1] == epsilons([20], [50], **known).values[0]
    assert drawn[0] > 3 * epsilons([20], [250], **known).values[0]
    every = epsilons([spec.num_rounds], [50], **known).values[0]
    assert always[0] == always[1] == every > drawn[0]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"noise": -1.0}, "noise multiplier must be"),
        ({"delta": 0.0}, "delta must lie"),
        ({"unit": "epoch"}, "unknown unit 'epoch'"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"accountant": "none"}, "unknown accountant"),
    ],
)
def test_bad_numbers_get_one_sentence(change, message):
    with pytest.raises(ValueError, match="must hold at least 1 example"):
        epsilons([0, 1], [0, 0], unit="example", batch_size=4, noise=1.0)
    known = {"unit": "update", "batch_size": 4, "noise": 1.0, "delta": 1e-5}
    with pytest.raises(ValueError, match=message):
        epsilons([1], [10], **{**known, **change})


@pytest.mark.parametrize(
    "spec, privacy_numbers, message",
    [
        ({"privacy": "exmaple"}, {}, "unknown unit of privacy 'exmaple'"),
        ({"privacy": "example", "local_steps": 3}, {}, "accounted for one step a round"),
        ({"privacy": "update"}, {"noise": -0.5}, "privacy.noise must lie in"),
        ({"privacy": "update"}, {"clip": 0.0}, "privacy.clip must lie in"),
        ({"privacy": "update"}, {"delta": 1.0}, "privacy.delta must lie in"),
    ],
)
def test_a_market_with_impossible_privacy_is_refused(spec, privacy_numbers, message):
    with pytest.raises(ValueError, match=message):
        validate(Spec(**spec), HParams(privacy=Privacy(**privacy_numbers)))
