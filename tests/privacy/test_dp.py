"""Clipping, noise, Poisson batches; epsilon against closed forms."""

import dataclasses
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, norm

from d2m_jax import Spec, privacy, tasks, validate
from d2m_jax.config.hparams import HParams, Privacy
from d2m_jax.config.parsing import Config
from d2m_jax.config.spec import DataSpec
from d2m_jax.data import normalize
from d2m_jax.market import round as training
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
    tight = epsilons([times], [100], **known)[0]
    loose = epsilons([times], [100], **known, accountant="rdp")[0]
    assert tight == pytest.approx(exact, rel=2e-3)
    assert exact < loose < zcdp_epsilon(times, noise, 1e-5)


def test_epsilon_behaves_as_it_must():
    known = {"unit": "example", "delta": 1e-5}
    few, many, none = epsilons([10, 60, 0], [400, 400, 400], batch_size=32, noise=1.0, **known)
    assert 0 == none < few < many
    small, large = epsilons([20, 20], [40, 4000], batch_size=32, noise=1.0, **known)
    assert large < small
    assert np.isinf(epsilons([1], [40], batch_size=8, noise=0.0, **known)[0])
    # a seller whose batch is all it holds gets no amplification
    whole = epsilons([5], [16], batch_size=32, noise=2.0, **known)[0]
    assert whole == pytest.approx(gaussian_epsilon(2.0, 5, 1e-5), rel=2e-3)


def test_clipping_by_hand():
    rows = dp.clip_rows(jnp.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]]), 1.0)
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0.3, 0.4], [0, 0]], atol=1e-7)


def test_noise_on_updates_has_the_stated_spread():
    keys = jax.random.split(jax.random.key(0), 4000)
    draw = jax.jit(jax.vmap(lambda key: dp.private_update(key, jnp.array([30.0, 40.0]), 5.0, 0.7)))
    sent = np.asarray(draw(keys))
    np.testing.assert_allclose(sent.mean(0), [3, 4], atol=0.2)
    np.testing.assert_allclose(sent.std(0), [3.5, 3.5], rtol=0.05)


def test_poisson_batches_have_binomial_counts_and_even_chances():
    size, width, batch = 40, 60, 10
    draw = jax.jit(jax.vmap(lambda key: dp.poisson_batch(key, jnp.int32(size), width, batch)))
    columns, in_batch = map(np.asarray, draw(jax.random.split(jax.random.key(1), 3000)))
    counts = in_batch.sum(1)
    seen = np.bincount(counts, minlength=size + 1) / len(counts)
    expected = binom(size, batch / size).pmf(np.arange(len(seen)))
    assert np.abs(seen - expected[: len(seen)]).max() < 0.03
    drawn = np.bincount(columns[in_batch], minlength=width)
    assert not drawn[size:].any()
    np.testing.assert_allclose(drawn[:size] / len(counts), batch / size, atol=0.04)
    assert all(len(set(row[use])) == use.sum() for row, use in zip(columns[:50], in_batch[:50]))
    full = dp.poisson_batch(jax.random.key(0), jnp.int32(5), width, batch)[1]
    assert int(full.sum()) == 5
    capacity = dp.batch_capacity(32)
    assert binom(10_000, 32 / 10_000).sf(capacity) < 1e-7


def test_private_sellers_are_means_of_clipped_gradients():
    raw, data = digits()
    model = tasks.make_model("logreg", raw.train_images.shape[1:], 10)
    theta = model.init(jax.random.key(0))
    got = jax.jit(
        lambda clip, noise: dp.private_sellers(
            model.gradient,
            jax.random.key(3),
            theta,
            data,
            jnp.array([2, 5]),
            normalize=lambda x: normalize(data, x),
            batch_size=12,
            clip=clip,
            noise=noise,
        )
    )
    plain = got(0.5, 0.0)
    seller = 5
    key = jax.random.split(jax.random.fold_in(jax.random.key(3), seller), 3)[0]
    columns, in_batch = dp.poisson_batch(key, data.sizes[seller], data.index.shape[1], 12)
    total = np.zeros(model.num_params)
    for row, use in zip(np.asarray(data.index[seller, columns]), np.asarray(in_batch)):
        if use:
            image = normalize(data, data.images[row][None])
            g = np.asarray(model.gradient(theta, image, data.labels[row][None]), np.float64)
            total += g * min(1, 0.5 / np.linalg.norm(g))
    np.testing.assert_allclose(plain[1], total / 12, atol=1e-5)
    noised = got(0.5, 2.0) - plain
    assert float(noised.std()) == pytest.approx(2.0 * 0.5 / 12, rel=0.05)


@pytest.mark.parametrize("unit", privacy.UNITS)
def test_the_round_uses_the_unit_of_the_spec(unit):
    _, data = digits()
    program = market(SPEC)
    theta = program.model.init(jax.random.key(0))
    who, key = jnp.array([1, 6]), jax.random.key(4)
    hparams = HParams(privacy=Privacy(clip=0.1, noise=0.0))
    updates = training._train(
        key,
        theta,
        who,
        jnp.ones(2, jnp.int32),
        None,
        lambda key, seller, images, labels: (images, labels),
        hparams,
        data,
        dataclasses.replace(SPEC, privacy=unit),
        program.model,
    )
    norms = np.linalg.norm(updates, axis=1)
    if unit == "none":
        assert (norms > 0.5).all()
    elif unit == "update":
        np.testing.assert_allclose(norms, 0.1, rtol=1e-5)
    else:  # a mean of vectors of 0.1 at most; a Poisson batch may hold some more than expected
        assert (norms < 0.2).all() and (norms > 0.01).all()


@pytest.mark.slow
def test_a_market_with_private_sellers_trains_and_noise_costs_accuracy():
    spec, accuracy = dataclasses.replace(SPEC, privacy="example", attack="none"), {}
    for noise in (0.0, 30.0):
        hparams = numbers(privacy=Privacy(clip=20.0, noise=noise), learning={"lr": 1.0})
        outcome = play(dataclasses.replace(hparams, attack={}), spec=spec)
        accuracy[noise] = float(outcome.test_accuracy)
    assert accuracy[0.0] > 0.8
    assert accuracy[30.0] < accuracy[0.0] - 0.05


def test_the_account_of_a_run_takes_what_sellers_hold_not_what_they_claim():
    hparams = HParams(privacy=Privacy(noise=1.0))
    spec = Spec(num_sellers=2, batch_size=32, privacy="example")
    rounds = SimpleNamespace(sellers=np.array([[0, 1]] * 20), present=np.ones((20, 2), bool))
    outcome = SimpleNamespace(rounds=rounds, ledger=SimpleNamespace(sizes=np.array([250, 50])))
    found = seller_epsilons(Config(DataSpec(), spec, hparams, 0), outcome, np.array([50, 50]))
    known = {"unit": "example", "batch_size": 32, "noise": 1.0, "delta": hparams.privacy.delta}
    assert found[0] == found[1] == epsilons([20], [50], **known)[0]
    assert found[0] > 3 * epsilons([20], [250], **known)[0]


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
