"""Pre-aggregators against their oracles, and what bucketing promises."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import aggregation as agg
from tests.aggregation import oracles
from tests.aggregation.test_rules import rows

N = 11


@pytest.mark.parametrize("name", ["nnm", "clipping", "arc"])
def test_same_as_oracle_with_masks_and_traced_f(name):
    pre = jax.jit(lambda x, f, mask: agg.PRE_AGGREGATORS[name](x, f, mask=mask)[0])
    for f in (0, 1, 4):
        x = rows(f) * 4
        np.testing.assert_allclose(
            agg.PRE_AGGREGATORS[name](x, f)[0],
            getattr(oracles, name)(x.astype(np.float64), f),
            rtol=1e-5,
            atol=1e-5,
        )
        mask = np.arange(N) != 3
        want = getattr(oracles, name)(x[mask].astype(np.float64), f)
        got = pre(np.where(mask[:, None], x, np.nan), f, mask)
        np.testing.assert_allclose(got[mask], want, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(got[3], 0)


def test_buckets_partition_the_present_rows():
    """On the identity matrix the output rows are the weights themselves."""
    bucket = jax.jit(lambda key, mask: agg.bucketing(jnp.eye(N), 1, mask=mask, key=key, size=3))
    seen = []
    for seed, mask in enumerate((np.ones(N, bool), np.arange(N) != 4, np.arange(N) < 3)):
        weights, f, filled = bucket(jax.random.key(seed), mask)
        weights, count = np.asarray(weights), mask.sum()
        assert f == 1 and weights.shape == (4, N)
        sizes = (weights > 0).sum(axis=1)
        np.testing.assert_array_equal(sizes, [min(3, max(count - 3 * b, 0)) for b in range(4)])
        np.testing.assert_array_equal(filled, sizes > 0)
        np.testing.assert_array_equal((weights > 0).sum(axis=0), mask)  # each row once
        np.testing.assert_allclose(weights.sum(axis=1), sizes > 0, rtol=1e-6)
        seen.append(weights[0])
    again = bucket(jax.random.key(0), np.ones(N, bool))[0]
    np.testing.assert_array_equal(again[0], seen[0])
    other = bucket(jax.random.key(9), np.ones(N, bool))[0]
    assert (other[0] != seen[0]).any()


def test_chain_applies_in_order_and_of_nothing_is_the_rule():
    x = rows(1)
    np.testing.assert_array_equal(agg.chain(agg.krum)(x, 2), agg.krum(x, 2))
    clip = partial(agg.clipping, radius=0.5)
    by_hand = agg.trimmed_mean(agg.nnm(clip(x, 2)[0], 2)[0], 2)
    np.testing.assert_allclose(agg.chain(clip, agg.nnm, agg.trimmed_mean)(x, 2), by_hand)
    other = agg.chain(agg.nnm, clip, agg.trimmed_mean)(x, 2)
    assert np.abs(other - by_hand).max() > 1e-4


def test_fewer_buckets_than_the_rule_can_stand_is_said():
    rule = agg.chain(partial(agg.bucketing, size=4), agg.trimmed_mean)
    with pytest.raises(ValueError, match="f = 2 Byzantine of 3 rows"):
        rule(rows(2), 2, key=jax.random.key(0))
    with pytest.raises(ValueError, match="give it a key"):
        rule(rows(2), 1)
