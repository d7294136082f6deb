"""Noise on the grid: the law of the draws, the room of the cut, participation hidden."""

import bisect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2, norm

from d2m_jax.privacy import noise
from d2m_jax.privacy.noise import BITS, SPREAD, from_bits, in_steps, private_sum, thresholds

draw = jax.jit(lambda key: noise.rounded_normal(key, (1_000_000,)))


def as_integers(words):
    """Words [3, K] as the 95-bit integers that they are."""
    first, second, last = (np.asarray(row).astype(object) for row in words)
    return first * 2**63 + second * 2**31 + last


def test_thresholds_are_those_of_the_rounded_normal():
    table = thresholds()
    cuts = as_integers(table)
    used = int((cuts < 2**BITS).sum())
    assert (cuts[used:] >= 2**BITS).all()
    assert 11.3 * SPREAD < used < 11.5 * SPREAD
    k = np.arange(used)
    # P(|Z| <= k) near 0 and P(|Z| > k) in the tail, both to the precision of float64
    below = np.array([float(cut / 2**BITS) for cut in cuts[:used]])
    above = np.array([float((2**BITS - cut) / 2**BITS) for cut in cuts[:used]])
    np.testing.assert_allclose(below, 1 - 2 * norm.sf((k + 0.5) / SPREAD), rtol=1e-12)
    np.testing.assert_allclose(
        above, 2 * norm.sf((k + 0.5) / SPREAD), rtol=1e-11, atol=1.001 * 2.0**-96
    )
    # total variation: one unit of rounding for each magnitude, halved
    assert used * 2.0**-BITS / 2 < noise.DISTANCE


def test_the_search_is_the_inverse_of_the_distribution():
    cuts = as_integers(thresholds())
    sorted_cuts = [int(cut) for cut in cuts]
    rng = np.random.default_rng(0)
    near = [cut + d for cut in sorted_cuts[:11_000:97] for d in (-1, 0, 1)]
    values = [0, 2**BITS - 1, *near, *(int(x) << 63 for x in rng.integers(0, 2**32, 200))]
    words = np.array([[v >> 63, (v >> 31) & (2**32 - 1), (v & (2**31 - 1)) << 1] for v in values])
    got = np.asarray(from_bits(jnp.asarray(words.T, jnp.uint32)))
    assert got.tolist() == [bisect.bisect_right(sorted_cuts, v) for v in values]
    negative = words.T.astype(np.uint32)
    negative[2] |= 1
    np.testing.assert_array_equal(from_bits(jnp.asarray(negative)), -got)


def test_draws_follow_the_exact_probabilities():
    drawn = np.asarray(draw(jax.random.key(5)))
    edges = np.concatenate([[-np.inf], np.arange(-4.0, 4.01, 0.25) * SPREAD + 0.5, [np.inf]])
    counts = np.histogram(drawn, edges)[0]
    expected = np.diff(norm.cdf(edges / SPREAD)) * drawn.size
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert chi2.sf(statistic, len(counts) - 1) > 1e-4
    # every residue of the grid is as likely as any other
    residues = np.bincount(drawn % 64, minlength=64)
    even = ((residues - drawn.size / 64) ** 2 / (drawn.size / 64)).sum()
    assert chi2.sf(even, 63) > 1e-4
    assert np.abs(drawn).max() > 4.5 * SPREAD


@pytest.mark.few(3)
@pytest.mark.parametrize("dim", [1, 7, 1_000, 65_537])
@pytest.mark.parametrize("clip", [1e-3, 1.0, 777.7])
def test_no_row_is_longer_in_steps_than_clip_over_step(dim, clip):
    rng = np.random.default_rng(dim)
    rows = np.stack(
        [
            rng.normal(size=dim) * 10.0 ** rng.uniform(-3, 3, dim),
            np.full(dim, clip / math.sqrt(dim) * (1 + 1e-7)),
            rng.normal(size=dim) * 1e30,
        ]
    ).astype(np.float32)
    step = np.float32(np.float32(clip) * np.float32(0.37) / SPREAD)
    steps = np.asarray(in_steps(jnp.asarray(rows), jnp.float32(clip), jnp.asarray(step), 2**28))
    exact = np.sqrt((steps.astype(np.float64) ** 2).sum(1))
    assert (exact <= SPREAD / 0.37).all()  # the sensitivity that is accounted for
    assert exact[1] > 0.9 * SPREAD / 0.37 - math.sqrt(dim)


def test_what_is_released_is_a_whole_number_of_steps():
    rows = jax.random.normal(jax.random.key(0), (5, 300))
    clip, multiplier = 0.8, 1.7
    sent = jax.jit(private_sum)(jax.random.key(1), rows, jnp.ones(5, bool), clip, multiplier)
    steps = np.asarray(sent, np.float64) / (multiplier * clip / SPREAD)
    np.testing.assert_allclose(steps, np.rint(steps), atol=2e-3)
    # the whole numbers less the noise are those of the rows alone
    alone = jax.jit(private_sum)(jax.random.key(1), 0 * rows, jnp.ones(5, bool), clip, multiplier)
    moved = (np.asarray(sent, np.float64) - np.asarray(alone)) / (multiplier * clip / SPREAD)
    np.testing.assert_allclose(moved, np.rint(moved), atol=4e-3)


def test_a_release_does_not_show_whether_the_seller_took_part():
    """In float32, `u + noise` fell on other floats than noise alone in 60 of 60 trials."""
    u = jnp.asarray(np.random.default_rng(1).normal(size=400) * 0.03, jnp.float32)

    def reachable(sent, multiplier=1.0, clip=1.0):
        """Whether noise alone can give every one of these floats."""
        steps = np.rint(np.asarray(sent, np.float64) / (multiplier * clip / SPREAD))
        back = steps.astype(np.float32) * np.float32(multiplier * clip / SPREAD)
        return (back == np.asarray(sent)).all()

    release = jax.jit(lambda key, row: private_sum(key, row[None], jnp.ones(1, bool), 1.0, 1.0))
    for trial in range(20):
        key = jax.random.key(trial)
        assert reachable(release(key, u)) and reachable(release(key, 0 * u))
    # the old mechanism fails this test
    plain = u + jax.random.normal(jax.random.key(0), u.shape)
    assert not reachable(plain)


def test_little_noise_is_never_less_than_asked_and_none_only_clips():
    rows, use = jnp.array([[3.0, 4.0], [0.3, 0.4], [jnp.nan, 1.0]]), jnp.array([True, True, True])
    keys = jax.random.split(jax.random.key(0), 3_000)
    for multiplier in (1e-9, 1e-3, 0.5):
        run = jax.jit(jax.vmap(lambda key, m=multiplier: private_sum(key, rows, use, 1.0, m)))
        sent = np.asarray(run(keys), np.float64)
        assert (sent.std(0) > 0.95 * multiplier).all()
        assert (sent.std(0) < 1.05 * max(multiplier, 3 * 2.0**-20)).all()
        np.testing.assert_allclose(sent.mean(0), [0.9, 1.2], atol=0.1 * multiplier + 1e-5)
    np.testing.assert_allclose(private_sum(keys[0], rows, use, 1.0, 0.0), [0.9, 1.2], atol=3e-6)


def test_what_the_bits_add_to_delta():
    assert noise.sampling_delta(8.0, 10**6, 100) < 1e-12
    assert noise.sampling_delta(8.0, 10**6, 0) == 0
    assert noise.sampling_delta(1e6, 10, 1) == 1
    np.testing.assert_allclose(
        noise.sampling_delta(np.array([0.0, 1.0]), 10, np.array([1, 2])),
        np.array([2.0, 2 * (1 + math.e)]) * 10 * 2.0**-82,
    )
