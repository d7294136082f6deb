"""Openings of units: drawn evenly, judged by the buyer's examples, with known odds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import hypergeom

from d2m_jax import tasks
from d2m_jax.audit.units import CROP, FOREIGN, MIX, NOISE, RELABEL, altered
from d2m_jax.config.spec import DataSpec
from d2m_jax.data import load, seller_rows
from d2m_jax.incentives import CONTRIBUTIONS, Evidence
from d2m_jax.market import deal
from d2m_jax.market.openings import (
    draw_places,
    examine,
    examples_at,
    expected_false_alarms,
    likeness,
    looks_false,
    survival,
)
from d2m_jax.market.units import Piece, cut, leaves_of, listed
from d2m_jax.sellers import train_sellers

SIZE, OPENINGS = 20, 14


@pytest.mark.parametrize("false", [0, 1, 7, 20])
@pytest.mark.parametrize("tolerated", [0, 3])
def test_the_odds_are_hypergeometric(false, tolerated):
    known = hypergeom(SIZE, false, OPENINGS).cdf(tolerated)
    assert survival(SIZE, false, OPENINGS, tolerated) == pytest.approx(known, abs=1e-12)
    places = np.asarray(draw_places(jax.random.key(false), 20_000, SIZE, OPENINGS))
    assert all(len(set(row)) == OPENINGS for row in places[:50])
    passed = ((places < false).sum(1) <= tolerated).mean()
    assert abs(passed - known) < 4 * np.sqrt(known * (1 - known) / 20_000) + 1e-9


def test_every_example_of_every_unit_is_as_likely_to_be_opened():
    places = np.asarray(draw_places(jax.random.key(0), 4_000, SIZE, 3))
    counts = np.bincount(places.ravel(), minlength=SIZE)
    assert abs(counts - 600).max() < 5 * np.sqrt(600)


def test_likeness_by_hand():
    centre = jnp.zeros(2)
    found = likeness(jnp.array([[1.0, 0.0], [3.0, 3.0]]), jnp.array([[0.0, 2.0]]), centre)
    np.testing.assert_allclose(found, [[0.0], [np.sqrt(0.5)]], atol=1e-6)
    image = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2].set(1.0)
    other = jnp.zeros((1, 5, 5, 1)).at[0, 3, 1].set(1.0)
    np.testing.assert_allclose(likeness(image, other, jnp.zeros((5, 5, 1))), [[1.0]], atol=1e-6)
    far = jnp.zeros((1, 5, 5, 1)).at[0, 4, 2].set(1.0)
    assert likeness(image, far, jnp.zeros((5, 5, 1)))[0, 0] < 0.01


def test_the_later_of_two_copies_looks_false_and_what_is_like_nothing_does():
    rng = np.random.default_rng(0)
    real, opened = rng.normal(size=(40, 12)), rng.normal(size=(5, 6, 12))
    opened[3] = opened[1] + 0.01 * rng.normal(size=(6, 12))
    opened[4] = np.eye(12)[0] * 50 * np.where(np.arange(6) % 2, 1, -1)[:, None] + 30
    arrays = jnp.asarray(opened, jnp.float32), jnp.asarray(real, jnp.float32)
    there = jnp.ones(5, bool)
    copied, mixed, foreign = looks_false(*arrays, there)
    assert copied[3].all() and copied.mean() < 0.25 and mixed[:3].mean() < 0.2
    assert foreign[4].all() and foreign[:4].mean() < 0.15  # of 40 real ones the bound is loose
    copied, _, _ = looks_false(*arrays, there.at[1].set(False))
    assert copied.mean() < 0.1


@pytest.mark.parametrize(
    ("units", "openings", "judged"), [(2, 2, False), (2, 3, True), (4, 1, True)]
)
def test_nothing_is_a_copy_among_fewer_than_three_others(units, openings, judged):
    rng = np.random.default_rng(1)
    real, opened = rng.normal(size=(40, 12)), rng.normal(size=(8, openings, 12))
    opened[units - 1] = opened[0] + 1e-3 * rng.normal(size=(openings, 12))
    there = jnp.arange(8) < units
    looks = looks_false(jnp.asarray(opened, jnp.float32), jnp.asarray(real, jnp.float32), there)
    assert bool(looks.copied[units - 1].any()) == judged
    assert not looks.copied[0].any() and not looks.copied[units:].any()
    if not judged:
        assert not looks.mixed.any()


@pytest.fixture(scope="module")
def shown():
    """(key, data, tolerated) -> [U] found out, compiled once."""
    digits = load("digits")
    model = tasks.flatten(tasks.make_task("logreg", digits, "default"))
    look = jax.jit(lambda key, data, tolerated: examine(model, key, data, OPENINGS, tolerated))
    return lambda key, data, tolerated=3: np.asarray(look(key, data, tolerated).found_out)


WORLD = DataSpec(partition="iid", num_validation=200)


def test_honest_units_pass(shown):
    rate = []
    for seed in range(12):
        spec = DataSpec(partition="iid", num_validation=200, seed=seed)
        data = cut(deal(load("digits"), spec, 8, whole_pool=True), 64, SIZE)
        rate.append(shown(jax.random.key(seed), data)[np.asarray(data.sizes) > 0])
    assert np.concatenate(rate).mean() < 0.005
    assert expected_false_alarms(100, OPENINGS, 3) < 0.001


@pytest.mark.parametrize(
    ("kind", "least"), [(0, 0.95), (NOISE, 0.4), (CROP, 0.5), (RELABEL, 0.95), (MIX, 0.5)]
)
def test_copies_are_found_out_nearly_as_often_as_the_odds_say(shown, kind, least):
    data = deal(load("digits"), WORLD, 8, whole_pool=True)
    pool, num = altered(data.pool), load("digits").num_train
    digests = leaves_of(pool)
    pieces = [
        Piece(owner, rows[i : i + SIZE])
        for owner, rows in enumerate(seller_rows(data))
        for i in range(0, 140, SIZE)
    ]
    copies = [Piece(8, piece.rows + kind * num, 1) for piece in pieces[:7]]
    whole = listed(data.replace(pool=pool), [*pieces, *copies], 64, digests)
    keys = jax.random.split(jax.random.key(kind), 5)
    found = np.concatenate([shown(key, whole)[56:63] for key in keys])
    odds = 1 - survival(SIZE, OPENINGS, OPENINGS, 3)
    assert least < found.mean() < odds + 0.1, (found.mean(), odds)


def test_fakes_among_real_examples_survive_as_the_odds_say(shown):
    data = deal(load("digits"), WORLD, 8, whole_pool=True)
    pool, num = altered(data.pool), load("digits").num_train
    digests, false = leaves_of(pool), 6
    rows = np.concatenate(seller_rows(data))[: 40 * SIZE].reshape(40, SIZE)
    pieces = [Piece(0, np.where(np.arange(SIZE) < false, row + FOREIGN * num, row)) for row in rows]
    whole = listed(data.replace(pool=pool), pieces, 64, digests)
    keys = jax.random.split(jax.random.key(9), 12)
    for tolerated in (1, 3):
        passed = 1 - np.concatenate([shown(key, whole, tolerated)[:40] for key in keys]).mean()
        odds = survival(SIZE, false, OPENINGS, tolerated)
        assert odds - 0.1 < passed < odds + 0.06, (tolerated, passed, odds)


def test_work_on_the_unit_is_paid_and_the_mean_of_the_others_hardly():
    digits = load("digits")
    model = tasks.flatten(tasks.make_task("logreg", digits, "default"))
    data = cut(deal(digits, WORLD, 8, whole_pool=True), 64, SIZE)
    num = int((np.asarray(data.sizes) > 0).sum())
    units = jnp.arange(num)
    places = draw_places(jax.random.key(1), num, SIZE, OPENINGS)
    theta = model.init(jax.random.key(0))
    slope_of = jax.grad(lambda batch, at: model.loss(at, model.prepare(batch, data.stats)), 1)
    slopes = jax.jit(jax.vmap(slope_of, (0, None)))
    for _ in range(40):
        whole = examples_at(data, units, jnp.tile(jnp.arange(SIZE), (num, 1)))
        theta = theta - 0.3 * slopes(whole, theta).mean(0)
    trained = train_sellers(model, jax.random.key(2), theta, data, units, batch_size=16)
    shown = slopes(examples_at(data, units, places), theta)
    validation = jax.grad(model.loss)(theta, model.prepare(data.correction, data.stats))
    idle = trained.sum(0) / num
    updates = trained.at[: num // 2].set(idle[None])
    helps = updates @ validation
    evidence = Evidence(
        accepted=jnp.ones(num, bool),
        gain=jnp.maximum(helps, 0.0),
        mass=jnp.ones(num) / num,
        updates=updates,
        gradient_at=lambda update: validation,
        on_units=lambda: (
            (updates * shown).sum(1),
            (updates * jnp.roll(shown, 1, axis=0)).sum(1),
        ),
    )
    plain, own = (float(CONTRIBUTIONS[x](evidence)[: num // 2].sum()) for x in ("gain", "own_work"))
    assert own < 0.75 * plain, (own, plain)
