"""Sets: exact sizes, no node twice, right frequencies; stakes and Sybils."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from d2m_jax.cone import Behaviour, ConeParams, split_stakes
from d2m_jax.cone.schedules import SCHEDULES, default_attempts
from d2m_jax.cone.sortition import draw_sets, stake_order, uniform_order


def test_exponential_sizes_are_the_published_ones():
    for base, sizes in [(4, [5, 6, 8, 12, 20, 36, 68, 132]), (8, [9, 10, 12, 16, 24, 40, 72, 136])]:
        ends = np.asarray(SCHEDULES["exponential"](ConeParams(base=base), 8))
        assert ends.tolist() == np.cumsum(sizes).tolist()
    huge = np.asarray(SCHEDULES["exponential"](ConeParams(base=4), 60))
    assert (np.diff(huge) >= 0).all()  # saturates, does not overflow


@pytest.mark.parametrize("pool", [1, 2, 5, 32, 100, 1000, 100_000])
def test_default_attempts_just_exhaust_the_pool(pool):
    attempts = default_attempts("exponential", pool)
    assert attempts + 2**attempts - 1 >= pool
    assert attempts == 1 or attempts - 1 + 2 ** (attempts - 1) - 1 < pool


def test_sets_have_exact_sizes_and_share_no_node():
    eligible = jnp.asarray(np.arange(45) % 9 > 0)  # 40 of 45
    draw = jax.jit(jax.vmap(lambda k: draw_sets(k, eligible, ConeParams(base=4), 6)))
    sets = jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(0), 200)))
    counts = (sets.seat[:, 0, :, None] == np.arange(6)).sum(axis=1)
    assert (counts == [5, 6, 8, 12, 9, 0]).all()  # the last one truncated
    assert (sets.size == counts).all()
    assert (sets.seat[:, 0, ~np.asarray(eligible)] == 6).all()
    assert sets.exhausted[0].tolist() == [False] * 4 + [True] * 2
    assert (sets.pool == 40).all()


@pytest.mark.parametrize("pool", [7, 64, 5000])
def test_uniform_order_is_a_permutation_and_every_place_is_equally_likely(pool):
    eligible = jnp.ones(pool, bool)
    runs = 3000 if pool < 1000 else 300
    order = jax.jit(jax.vmap(lambda k: uniform_order(k, eligible)))
    ranks = np.asarray(order(jax.random.split(jax.random.key(4), runs)))
    assert (np.sort(ranks[:20], axis=1) == np.arange(pool)).all()
    for node in (0, pool // 2, pool - 1):  # a chi-squared test on the thirds of the order
        cells = np.bincount(ranks[:, node] * 3 // pool, minlength=3)
        chance = np.bincount(np.arange(pool) * 3 // pool) / pool
        assert chisquare(cells, chance * runs).pvalue > 1e-4
    together = (ranks[:, 0] < ranks[:, 1]).mean()
    assert abs(together - 0.5) < 4 * 0.5 / np.sqrt(runs)


def test_stake_order_draws_in_proportion_to_stake():
    stake = jnp.asarray([1, 2, 3, 4, 0], jnp.int32)
    order = jax.jit(jax.vmap(lambda k: stake_order(k, jnp.ones(5, bool), stake)))
    ranks = np.asarray(order(jax.random.split(jax.random.key(1), 8000)))
    first = (ranks == 0).sum(axis=0)
    assert first[4] == 0
    assert chisquare(first[:4], 800.0 * np.arange(1, 5)).pvalue > 1e-4
    # second given that node 3 was first: 1/6, 2/6, 3/6
    given = ranks[ranks[:, 3] == 0]
    second = (given == 1).sum(axis=0)[:3]
    assert chisquare(second, len(given) * np.arange(1, 4) / 6).pvalue > 1e-4


def test_independent_sets_are_bernoulli_and_may_repeat_a_node():
    eligible = jnp.asarray(np.arange(50) < 40)
    params = ConeParams(q=0.2)
    draw = jax.jit(jax.vmap(lambda k: draw_sets(k, eligible, params, 5, "independent")))
    sets = jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(2), 400)))
    member = sets.seat < 5
    assert not member[:, :, 40:].any()
    assert (sets.size == member.sum(axis=-1)).all()
    assert abs(sets.size.mean() - 8) < 4 * np.sqrt(40 * 0.16 / 2000)
    assert abs(sets.size.var() - 6.4) < 1.0
    assert (member.sum(axis=1) > 1).any()
    assert not sets.exhausted.any()


def test_stakes_tilt_independent_sets():
    stake = jnp.asarray([1] * 20 + [3] * 20)
    draw = lambda k: draw_sets(
        k, jnp.ones(40, bool), ConeParams(q=0.2), 4, "independent", "stake", stake
    )
    seat = np.asarray(
        jax.jit(jax.vmap(lambda k: draw(k).seat))(jax.random.split(jax.random.key(3), 400))
    )
    rate = (seat < 4).mean(axis=(0, 1))
    assert abs(rate[:20].mean() - 0.1) < 0.01
    assert abs(rate[20:].mean() - 0.3) < 0.01


def test_splitting_stakes_keeps_the_total_and_pays_only_under_uniform_sortition():
    stake = np.array([10, 11, 7, 10, 10, 12])
    byzantine = np.array([0, 1, 0, 0, 1, 0], bool)
    split, owner = split_stakes(stake, byzantine, 4)
    assert np.bincount(owner, weights=split).tolist() == stake.tolist()
    assert owner.tolist() == [0, 1, 1, 1, 1, 2, 3, 4, 4, 4, 4, 5]
    assert split.tolist() == [10, 3, 3, 3, 2, 7, 10, 3, 3, 2, 2, 12]
    bad = byzantine[owner]
    assert bad.mean() == pytest.approx(4 * (1 / 3) / (4 * (1 / 3) + 2 / 3))  # m f / (m f + 1 - f)

    def share_of_first_seat(sortition):
        draw = lambda k: draw_sets(
            k, jnp.ones(12, bool), ConeParams(size=1), 1, "fixed", sortition, jnp.asarray(split)
        )
        seat = jax.jit(jax.vmap(lambda k: draw(k).seat[0]))(
            jax.random.split(jax.random.key(8), 4000)
        )
        return (np.asarray(seat)[:, bad] == 0).any(axis=1).mean()

    margin = 4 * 0.5 / np.sqrt(4000)
    assert abs(share_of_first_seat("uniform") - 2 / 3) < margin
    assert abs(share_of_first_seat("stake") - 21 / 60) < margin  # what the owners had before
    with pytest.raises(ValueError, match="parts"):
        split_stakes(stake, byzantine, 0)


def test_behaviour_codes_are_stable():
    # tables on disk and the ledger's settlement rely on them
    names = ["HONEST", "COLLUDE", "LONE_LIAR", "SILENT", "COPY", "ADAPTIVE"]
    assert [b.name for b in Behaviour] == names
