"""Sets: exact sizes, no node twice, right frequencies; stakes and Sybils."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare, hypergeom

from d2m_jax.cone import Behaviour, ConeParams, decide, exact_vote, split_stakes
from d2m_jax.cone.schedules import SCHEDULES, default_attempts
from d2m_jax.cone.sortition import draw_sets, lots_of, uniform_order


def test_exponential_sizes_are_the_published_ones():
    for base, sizes in [(4, [5, 6, 8, 12, 20, 36, 68, 132]), (8, [9, 10, 12, 16, 24, 40, 72, 136])]:
        ends = np.asarray(SCHEDULES["exponential"].seats(ConeParams(base=base), 8))
        assert ends.tolist() == np.cumsum(sizes).tolist()
    huge = np.asarray(SCHEDULES["exponential"].seats(ConeParams(base=4), 60))
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


def test_lots_are_drawn_in_proportion_to_stake_and_without_replacement():
    stake, everybody = jnp.asarray([1, 2, 3, 4, 0], jnp.int32), jnp.ones(5, bool)
    params = ConeParams(size=3)
    draw = jax.jit(jax.vmap(lambda k: draw_sets(k, everybody, params, 4, "fixed", "stake", stake)))
    sets = jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(1), 6000)))
    assert (sets.pool == 10).all() and sets.size[0].tolist() == [3, 3, 3, 1]
    assert (sets.votes.sum(axis=1) == [1, 2, 3, 4, 0]).all()  # every lot exactly once
    assert (sets.votes.sum(axis=2) == sets.size).all()
    assert ((sets.seat < 4) == (sets.votes > 0)).all()
    first = np.bincount(sets.votes[:, 0, 3], minlength=4)  # of the node with 4 of 10 lots
    assert chisquare(first, 6000 * hypergeom.pmf(range(4), 10, 4, 3)).pvalue > 1e-4


@pytest.mark.few(1)
@pytest.mark.parametrize("parts", [1, 3, 5])
def test_splitting_a_stake_changes_nothing_in_a_whole_vote(parts):
    """100 owners of 10 lots, 30 bad: the votes are those of 1,000 voters, split or not."""
    bad = np.arange(100) < 30
    stake, owner = split_stakes(np.full(100, 10), bad, parts)
    params = ConeParams(f_max=0.3, beta=0.05)
    behaviour, eligible = jnp.asarray(bad[owner], jnp.int32), jnp.ones(len(owner), bool)
    vote = jax.jit(jax.vmap(lambda k: decide(
        k, behaviour, eligible, params, sortition="stake", stake=jnp.asarray(stake)
    )[:3]))  # fmt: skip
    lots = np.asarray(lots_of(jnp.asarray(stake), eligible))
    assert lots[~bad[owner]].sum() == 700 and lots[bad[owner]].sum() == 300
    exact = exact_vote(1000, 300, params)
    runs = 3000
    keys = jax.random.split(jax.random.key(5), runs)
    accepted, attempts, executions = map(np.asarray, vote(keys))
    low, high = binomtest(int((accepted > 0).sum()), runs).proportion_ci(0.999, "exact")
    assert low <= exact.error <= high and exact.error > 0.001
    for seen, mean in ((attempts, exact.mean_attempts), (executions, exact.mean_executions)):
        assert abs(seen.mean() - mean) < 4 * seen.std() / np.sqrt(runs)


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=9), st.integers(2, 6), st.data())
@settings(max_examples=40, deadline=None)
def test_rounding_to_lots_never_pays_who_splits(stake, parts, data):
    bad = np.array(data.draw(st.lists(st.booleans(), min_size=len(stake), max_size=len(stake))))
    split, owner = split_stakes(np.array(stake), bad, parts)
    pad = lambda units: jnp.pad(jnp.asarray(units), (0, 64 - len(units)))  # one shape
    lots = [np.asarray(lots_of(pad(s), jnp.ones(64, bool)))[: len(s)] for s in (stake, split)]
    assert lots[0].sum() <= 1024
    after = np.bincount(owner, weights=lots[1], minlength=len(stake))
    assert (after <= lots[0]).all() and (after[~bad] == lots[0][~bad]).all()


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


def test_splitting_stakes_keeps_the_total_and_pays_under_uniform_sortition():
    stake = np.array([10, 11, 7, 10, 10, 12])
    byzantine = np.array([0, 1, 0, 0, 1, 0], bool)
    split, owner = split_stakes(stake, byzantine, 4)
    assert np.bincount(owner, weights=split).tolist() == stake.tolist()
    assert owner.tolist() == [0, 1, 1, 1, 1, 2, 3, 4, 4, 4, 4, 5]
    assert split.tolist() == [10, 3, 3, 3, 2, 7, 10, 3, 3, 2, 2, 12]
    bad = byzantine[owner]
    assert bad.mean() == pytest.approx(4 * (1 / 3) / (4 * (1 / 3) + 2 / 3))  # m f / (m f + 1 - f)

    draw = lambda k: draw_sets(k, jnp.ones(12, bool), ConeParams(size=1), 1, "fixed").seat[0]
    seat = np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(8), 4000)))
    share = (seat[:, bad] == 0).any(axis=1).mean()
    assert abs(share - 2 / 3) < 4 * 0.5 / np.sqrt(4000)  # it pays under uniform sortition
    with pytest.raises(ValueError, match="parts"):
        split_stakes(stake, byzantine, 0)


def test_behaviour_codes_are_stable():
    # tables on disk and the ledger's settlement rely on them
    names = ["HONEST", "COLLUDE", "LONE_LIAR", "SILENT", "COPY", "ADAPTIVE"]
    assert [b.name for b in Behaviour] == names
