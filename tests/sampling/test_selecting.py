"""Who is accepted is who the rule uses; the aggregate is that of the plain sampler."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import sampling
from d2m_jax.aggregation import make_aggregator

N, S, D = 8, 6, 5
ROWS = jax.random.normal(jax.random.key(0), (S, D)) + 0.3
ROOT = jnp.ones(D)
LAM = jnp.full(N, 1 / N, jnp.float32)
VALID = jnp.arange(S) != 1


def played(sampler, rule):
    aggregator = None if rule is None else make_aggregator(rule)
    defence = sampling.make_defence(sampler, num_sampled=S, aggregator=aggregator)
    chosen = sampling.Selection(jnp.arange(S), jnp.ones(S), jnp.ones(S, bool))
    context = sampling.Context(
        lam=LAM,
        lr=jnp.float32(0.1),
        round=jnp.int32(0),
        f=1,
        losses_of=lambda rows: jnp.sum((rows - 1) ** 2, axis=1),
        root_update=lambda: ROOT,
    )
    return defence.aggregate(
        jax.random.key(1), defence.init(N, D, LAM), chosen, ROWS, VALID, context,
        sampling.DefenceParams(),
    )  # fmt: skip


def middle(rows):
    """[S] bool: which valid rows hold a middle value of any column."""
    kept = np.flatnonzero(VALID)
    order = np.argsort(np.asarray(rows)[kept], axis=0)
    return np.isin(np.arange(S), kept[order[len(kept) // 2]])


EXPECTED = {
    None: np.asarray(VALID),
    "mean": np.asarray(VALID),
    "fltrust": np.asarray(VALID & (ROWS @ ROOT > 0)),
    "median": middle(ROWS),
}


@pytest.mark.parametrize("rule", EXPECTED)
def test_accepted_is_who_the_rule_uses(rule):
    total, _, info = played("selecting", rule)
    np.testing.assert_array_equal(info.accepted, EXPECTED[rule])
    np.testing.assert_array_equal(info.flagged, ~EXPECTED[rule])
    plain, _, before = played("uniform", rule)
    np.testing.assert_allclose(total, plain, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(info.gain, np.where(info.accepted, before.gain, 0), rtol=1e-5)
    assert before.accepted.sum() == VALID.sum()


def test_krum_buys_one():
    _, _, info = played("selecting", "krum")
    assert info.accepted.sum() == 1 and VALID[jnp.argmax(info.accepted)]


def test_nothing_used_is_a_skipped_round():
    aggregator = make_aggregator(lambda updates, f, mask=None: jnp.zeros(updates.shape[1]))
    defence = sampling.make_defence("selecting", num_sampled=S, aggregator=aggregator)
    chosen = sampling.Selection(jnp.arange(S), jnp.ones(S), jnp.ones(S, bool))
    context = sampling.Context(lam=LAM, lr=jnp.float32(0.1), round=jnp.int32(0))
    _, _, info = defence.aggregate(
        jax.random.key(1), defence.init(N, D, LAM), chosen, ROWS, VALID, context,
        sampling.DefenceParams(),
    )  # fmt: skip
    assert info.skipped and not info.accepted.any()
