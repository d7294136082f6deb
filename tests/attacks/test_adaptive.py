"""Attacks on a defence that judges and remembers, against float64 formulas written out here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.attacks import ATTACKS, AttackContext, adaptive

KEY = jax.random.key(0)
S, D = 8, 12
RNG = np.random.default_rng(4)
AXIS = RNG.normal(size=D)
ROWS = (AXIS + 2 * RNG.normal(size=(S, D))).astype(np.float32)
BAD = np.isin(np.arange(S), [3, 6, 7])
G = AXIS / np.linalg.norm(AXIS)
HONEST = ROWS[~BAD].astype(float)
MEAN, LENGTH = HONEST.mean(axis=0), np.linalg.norm(HONEST, axis=1).mean()
COSINE = (HONEST @ G / np.linalg.norm(HONEST, axis=1)).mean()


def context(**fields):
    """A buyer whose loss falls along AXIS, with a rate of its own."""
    return AttackContext(damage=lambda step: 5 - 0.3 * jnp.vdot(jnp.float32(AXIS), step), **fields)


def play(name, view=None, **numbers):
    out = ATTACKS[name](KEY, jnp.asarray(ROWS), BAD, context=view or context(), **numbers)
    np.testing.assert_array_equal(out[~BAD], ROWS[~BAD])
    return np.asarray(out)[BAD]


def turned(goal, cosine):
    """The row of length LENGTH with this cosine to G, the rest along a goal."""
    rest = goal - (goal @ G) * G
    rest = rest / np.linalg.norm(rest)
    return LENGTH * (cosine * G + np.sqrt(1 - cosine**2) * rest)


@pytest.mark.parametrize("share", [1.0, 0.35, -1.0])
def test_orthogonal_keeps_the_cosine_and_turns_the_rest_around(share):
    got = play("orthogonal", share=share, jitter=0.0)
    np.testing.assert_allclose(got, [turned(-MEAN, share * COSINE)] * 3, rtol=1e-4, atol=1e-4)


def test_hover_is_orthogonal_with_a_third_of_the_cosine():
    np.testing.assert_array_equal(play("hover"), play("orthogonal", share=0.35))
    assert "share" not in ATTACKS["hover"].numbers


def test_noise_tells_the_attackers_apart_and_changes_neither_length_nor_cosine():
    """With noise as long as the goal, two rows have a cosine near one half across G."""
    got = play("orthogonal", jitter=1.0).astype(float)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), LENGTH, rtol=1e-5)
    np.testing.assert_allclose(got @ G, LENGTH * COSINE, rtol=1e-4)
    rest = got - np.outer(got @ G, G)
    rest /= np.linalg.norm(rest, axis=1)[:, None]
    assert np.abs((rest @ rest.T)[np.triu_indices(3, 1)] - 0.5).max() < 0.4
    assert not np.allclose(got[0], got[1])


def test_without_the_buyers_examples_all_length_goes_against_the_mean():
    got = play("orthogonal", AttackContext(), jitter=0.0)
    np.testing.assert_allclose(got, [-LENGTH * MEAN / np.linalg.norm(MEAN)] * 3, rtol=1e-4)


def test_overfit_is_the_buyers_gradient():
    np.testing.assert_allclose(play("overfit", jitter=0.0), [LENGTH * G] * 3, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("index", "amount"), [(0, 0.0), (12, 0.2), (40, 1.0)])
def test_drowning_turns_slowly(index, amount):
    got = play("drowning", context(round_index=index))
    end = play("orthogonal")
    np.testing.assert_allclose(got, (1 - amount) * ROWS[BAD] + amount * end, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["sleeper", "opportunist"])
def test_who_is_not_trusted_or_not_drawn_works(name):
    field, levels = {"sleeper": ("reputation", 0.5), "opportunist": ("mass", 1.0)}[name]
    values = np.full(S, levels, np.float32)
    values[6] *= 0.9
    got = play(name, context(**{field: jnp.asarray(values)}))
    end = play("orthogonal", share=-1.0) if name == "sleeper" else 10 * play("orthogonal")
    np.testing.assert_array_equal(got[1], ROWS[6])
    np.testing.assert_allclose(got[[0, 2]], end[[0, 2]], rtol=1e-5)


def test_pawns_shout_so_that_the_others_are_not_heard():
    got = play("pawns")
    np.testing.assert_allclose(got[:2], -10 * ROWS[[3, 6]])
    np.testing.assert_array_equal(got[2], play("orthogonal")[2])


def test_framing_points_away_from_the_seller_that_agrees_least():
    victim = HONEST[(HONEST @ G / np.linalg.norm(HONEST, axis=1)).argmin()]
    got = play("framing", jitter=0.0)
    np.testing.assert_allclose(got, [turned(-victim, COSINE)] * 3, rtol=1e-4, atol=1e-4)


def test_duellists_have_a_rival_each():
    got = play("duel", jitter=0.0)
    want = [turned(-HONEST[k], COSINE) for k in range(3)]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("blend", [0.0, 0.5, 1.0])
def test_knock_out_hides_harm_behind_the_last_aggregate(blend):
    previous = RNG.normal(size=D)
    got = play("knock_out", AttackContext(previous=jnp.float32(previous)), blend=blend)
    lengths = np.linalg.norm(ROWS[BAD], axis=1)[:, None]
    want = -(1 - blend) * ROWS[BAD] + blend * lengths * previous / np.linalg.norm(previous)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_a_copycat_works_until_it_has_seen_enough_and_then_sends_the_average():
    """Seller 12, row 2, is absent in the second of four rounds."""
    state, seen = adaptive.copycat_init(D), []
    for at in range(4):
        rows = ROWS + np.float32(at)
        mask = np.arange(S) != (2 if at == 1 else -1)
        view = AttackContext(ids=10 + jnp.arange(S), mask=jnp.asarray(mask), state=state)
        state = adaptive.copycat_observe(state, jnp.asarray(rows), BAD, context=view, target=12)
        if at != 1:
            seen.append(rows[2].astype(float))
        got = np.asarray(
            adaptive.copycat(
                KEY, jnp.asarray(rows), BAD, context=view._replace(state=state), jitter=0.0
            )
        )
        if at < 3:
            np.testing.assert_array_equal(got, rows)
    mean = 0.25 * seen[0] + 0.25 * seen[1] + 0.5 * seen[2]
    np.testing.assert_allclose(state.mean, mean, rtol=1e-5)
    lengths = np.linalg.norm(rows[BAD], axis=1)[:, None]
    np.testing.assert_allclose(got[BAD], lengths * mean / np.linalg.norm(mean), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("drowning", "round_index"),
        ("sleeper", "reputation"),
        ("opportunist", "mass"),
        ("knock_out", "previous"),
        ("copycat", "state"),
    ],
)
def test_what_an_attack_needs_is_said(name, field):
    assert ATTACKS[name].needs == (field,)
    with pytest.raises(ValueError, match=rf"{name}.*context\.{field}"):
        ATTACKS[name](KEY, jnp.asarray(ROWS), BAD)
