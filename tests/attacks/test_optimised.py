"""Searches: ByzFL's published values and its schedule, dense grids, and any callable as defence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.attacks import AttackContext
from d2m_jax.attacks.optimised import (
    agr_tailored,
    damage_measure,
    line_search_byzfl,
    line_search_exact,
    opt_alie,
    opt_ipm,
)

KEY = jax.random.key(0)
BYZFL = jnp.asarray([[1.0, 2, 3], [4, 5, 6], [7, 8, 9], [0, 0, 0]])
LAST = jnp.asarray([False, False, False, True])
DRAW = np.random.default_rng(5)
ROWS = (DRAW.normal(size=(8, 6)) + 0.5).astype(np.float32)
BYZ = np.arange(8) >= 6


def nnm(rows, f):
    pairs = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    nearest = jnp.argsort(pairs, axis=1, stable=True)[:, : rows.shape[0] - f]
    return rows[nearest].mean(axis=1)


def clip(rows, limit):
    norms = jnp.sqrt((rows**2).sum(axis=1, keepdims=True))
    return rows * jnp.minimum(1.0, limit / norms)


def trimmed(rows, f):
    return jnp.sort(rows, axis=0)[f : rows.shape[0] - f].mean(axis=0)


def published_defence(updates, mask):
    return trimmed(clip(nnm(updates, 1), 2.0), 1)


def trimmed_two(updates, mask):
    return trimmed(updates, 2)


def numpy_trimmed(rows: np.ndarray) -> np.ndarray:
    return np.sort(rows.astype(np.float64), axis=0)[2:-2].mean(axis=0)


def deviation(vector: np.ndarray) -> float:
    rows = ROWS.copy()
    rows[BYZ] = vector
    return np.linalg.norm(numpy_trimmed(rows) - ROWS[~BYZ].astype(np.float64).mean(0))


def test_byzfl_published_numbers():
    context = AttackContext(defence=published_defence)
    ipm = opt_ipm(KEY, BYZFL, LAST, context=context, search="byzfl")
    np.testing.assert_allclose(ipm[3], [-2.74877907, -3.43597384, -4.1231686], rtol=1e-6)
    alie = opt_alie(KEY, BYZFL, LAST, context=context, search="byzfl")
    np.testing.assert_allclose(alie[3], [12.91985116, 13.91985116, 14.91985116], rtol=1e-6)


@pytest.mark.parametrize("peak,want_expansions", [(3.0, 0), (47.0, 2), (1e6, 17)])
def test_byzfl_schedule(peak, want_expansions):
    """Against the loop written from its description, on a hill with its top at `peak`."""

    def score(x):
        return -abs(x - peak)

    best, value, delta, left = 0.0, score(0.0), 10.0, 19
    expanding, expansions = True, 0
    while left:
        tried, left = best + delta, left - 1
        better = score(tried) > value
        if better:
            best, value = tried, score(tried)
        expanding = expanding and better
        expansions += expanding
        delta *= 2 if expanding else 0.8
    got = jax.jit(lambda: line_search_byzfl(score))()
    np.testing.assert_allclose(got, best, rtol=1e-5)
    assert expansions == want_expansions


def test_exact_search_finds_the_higher_of_two_hills():
    def score(x):
        return jnp.exp(-((x + 4.0) ** 2)) + 1.5 * jnp.exp(-((x - 6.123) ** 2) / 0.5)

    best, value = jax.jit(lambda: line_search_exact(score, -10.0, 10.0))()
    np.testing.assert_allclose(best, 6.123, atol=0.02)
    np.testing.assert_allclose(value, 1.5, rtol=1e-3)


def test_exact_search_ignores_bad_scores_and_prefers_weak_strengths():
    best, _ = line_search_exact(lambda x: jnp.where(x > 1, jnp.nan, x), -4.0, 4.0)
    np.testing.assert_allclose(best, 1.0, atol=0.02)
    flat, _ = line_search_exact(lambda x: jnp.minimum(jnp.abs(x), 2.0), -4.0, 4.0)
    np.testing.assert_allclose(jnp.abs(flat), 2.0, atol=0.05)


@pytest.mark.parametrize("attack", [opt_alie, opt_ipm])
def test_exact_beats_a_dense_grid_and_byzfl(attack):
    context = AttackContext(defence=trimmed_two)
    run = jax.jit(
        lambda search: attack(
            KEY, jnp.asarray(ROWS), jnp.asarray(BYZ), context=context, search=search
        ),
        static_argnums=0,
    )
    honest = ROWS[~BYZ].astype(np.float64)
    mean, std = honest.mean(0), honest.std(0, ddof=1)
    taus = np.linspace(-10, 10, 2001)
    vectors = [mean + t * std if attack is opt_alie else -t * mean for t in taus]
    dense = max(deviation(vector) for vector in vectors)
    exact = deviation(np.asarray(run("exact"))[-1])
    assert exact >= dense * (1 - 1e-3)
    assert exact >= deviation(np.asarray(run("byzfl"))[-1]) * (1 - 1e-3)


def test_agr_tailored_beats_its_parts_on_any_callable():
    context = AttackContext(defence=trimmed_two)
    got = agr_tailored(KEY, jnp.asarray(ROWS), jnp.asarray(BYZ), context=context)
    honest = ROWS[~BYZ].astype(np.float64)
    mean = honest.mean(0)
    width = 2 * np.sqrt(((honest[:, None] - honest[None]) ** 2).sum(-1).max())
    ways = {"unit": mean, "std": honest.std(0, ddof=1), "sign": np.sign(mean)}
    best = max(
        deviation(mean + t * p / np.linalg.norm(p))
        for p in ways.values()
        for t in np.linspace(-width, width, 401)
    )
    assert deviation(np.asarray(got)[-1]) >= best * (1 - 1e-3)


def test_agr_tailored_released_search():
    """Accepted when the loss exceeds the previous one, gamma from 10 by halves."""
    context = AttackContext(defence=trimmed_two)
    got = agr_tailored(
        KEY,
        jnp.asarray(ROWS),
        jnp.asarray(BYZ),
        context=context,
        preset="ndss21",
        perturbations=("unit",),
    )
    mean = ROWS[~BYZ].astype(np.float64).mean(0)
    p = -mean / np.linalg.norm(mean)
    gamma, jump, best, previous = 10.0, 10.0, 0.0, -1.0
    while abs(best - gamma) > 1e-5:
        loss = deviation((mean + gamma * p).astype(np.float32))
        if previous < loss:
            best, gamma = gamma, gamma + jump / 2
        else:
            gamma -= jump / 2
        jump, previous = jump / 2, loss
    np.testing.assert_allclose(got[-1], mean + best * p, rtol=1e-3, atol=1e-3)


def test_objectives():
    mean, aggregate = jnp.array([3.0, 4.0]), jnp.array([0.0, 5.0])
    context = AttackContext(damage=lambda a: a.sum())
    np.testing.assert_allclose(
        damage_measure("distance", context, mean)(aggregate), 10**0.5, rtol=1e-6
    )
    np.testing.assert_allclose(damage_measure("descent", context, mean)(aggregate), -4.0, rtol=1e-6)
    assert damage_measure("loss", context, mean)(aggregate) == 5
    with pytest.raises(ValueError, match=r"context\.damage"):
        damage_measure("loss", AttackContext(), mean)
    with pytest.raises(ValueError, match="distance, descent, loss"):
        damage_measure("speed", context, mean)
