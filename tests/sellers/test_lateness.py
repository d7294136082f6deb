"""Who is there and how late an update is: exact laws, and what the market makes of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from d2m_jax.market.lateness import check_lateness
from d2m_jax.market.validation import check_numbers, validate
from d2m_jax.sellers import AVAILABILITIES, DELAYS, replayed
from tests.worlds import SPEC, numbers, play

KEY = jax.random.key(5)
MANY = jnp.arange(20_000)


def test_geometric_delays_have_their_law_and_their_mean():
    late = np.asarray(DELAYS["geometric"](KEY, 3, MANY, mean=1.5))
    q = 1.5 / 2.5
    counts = np.bincount(np.minimum(late, 8), minlength=9)
    law = np.append((1 - q) * q ** np.arange(8), q**8)
    assert stats.chisquare(counts, law * len(late)).pvalue > 1e-3
    assert (np.asarray(DELAYS["geometric"](KEY, 0, MANY[:9], mean=0.0)) == 0).all()
    assert late.dtype == np.int32 and late.min() == 0


def test_a_seller_is_as_late_whoever_is_drawn_beside_it():
    for name, delay in DELAYS.items():
        few = jnp.array([7, 3, 1999])
        np.testing.assert_array_equal(delay(KEY, 4, few), delay(KEY, 4, MANY)[few], err_msg=name)


def test_slow_sellers_stay_slow_and_the_mean_is_the_mean():
    rounds = np.stack([DELAYS["by_seller"](KEY, r, MANY, mean=3.0, spread=1.0) for r in range(30)])
    own = rounds.mean(axis=0)
    early, later = rounds[:15].mean(axis=0), rounds[15:].mean(axis=0)
    assert np.corrcoef(early, later)[0, 1] > 0.8  # log-normal means, little noise of 15 draws
    assert abs(own.mean() - 3.0) < 4 * own.std() / np.sqrt(len(own)) + 0.05
    even = DELAYS["by_seller"](KEY, 0, MANY, mean=3.0, spread=0.0)
    assert abs(np.mean(even) - 3.0) < 4 * np.sqrt(12 / len(MANY))  # variance m (1 + m)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_diurnal_sellers_are_there_for_their_share_of_a_day(spread):
    there = np.stack(
        [
            AVAILABILITIES["diurnal"](KEY, r, 500, period=24, share=0.25, spread=spread)
            for r in range(48)
        ]
    )
    np.testing.assert_array_equal(there[:24], there[24:])
    assert (np.abs(there.sum(axis=0) - 12) <= 2).all()
    if spread == 0:
        assert set(there.mean(axis=1)) == {0.0, 1.0}  # day and night
    else:
        assert there.mean(axis=1).min() > 0.15


def test_a_trace_is_replayed_and_must_fit():
    table = np.array([[True, False, True], [False, True, True]])
    trace = replayed(table)
    for r in range(5):
        np.testing.assert_array_equal(trace(KEY, jnp.int32(r), 3), table[r % 2])
    with pytest.raises(ValueError, match="has 3 sellers, not 4"):
        trace(KEY, 0, 4)
    with pytest.raises(ValueError, match=r"table .rounds, sellers. of booleans, not int"):
        replayed(np.ones((2, 3), int))


AWAY = np.ones((12, 8), bool)
AWAY[::2, :5] = False  # three are there in even rounds
AWAY[4] = False  # nobody


def test_only_who_is_there_is_drawn_and_a_round_with_nobody_changes_nothing():
    spec = dataclasses.replace(SPEC, availability=replayed(AWAY), attack="none")
    outcome = play(dataclasses.replace(numbers(), attack={}), spec=spec)
    rounds = outcome.rounds
    drawn = np.asarray(rounds.present)
    for r, (who, present) in enumerate(zip(np.asarray(rounds.sellers), drawn)):
        assert AWAY[r][who[present]].all()
        assert present.sum() == min(6, AWAY[r].sum())


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"delay": "geometric", "scaffold": True}, "does not go with scaffold"),
        ({"max_delay": 0}, "max_delay must"),
        ({"delay": "never"}, "unknown delay 'never'"),
        ({"availability": "now"}, "unknown availability 'now'"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, words):
    spec = dataclasses.replace(SPEC, **changes)
    with pytest.raises(ValueError, match=words):
        validate(spec, numbers())


def test_several_jobs_and_secure_sums_are_refused_and_so_is_an_aversion_that_does_nothing():
    for changes, words in (
        ({"num_jobs": 2, "delay": "geometric"}, "delay 'geometric' is for one job"),
        ({"num_jobs": 2, "availability": "diurnal"}, "availability 'diurnal' is for one job"),
        ({"delay": "geometric", "secure_group": 2}, "does not go with secure_group"),
    ):
        with pytest.raises(ValueError, match=words):
            check_lateness(dataclasses.replace(SPEC, **changes))
    spec = dataclasses.replace(SPEC, delay="geometric", sampler="uniform", aggregator="mean")
    with pytest.raises(ValueError, match=r"learning.delay_aversion does nothing with sampler"):
        check_numbers(spec, numbers(learning={"delay_aversion": 1.0}))


def test_who_was_late_is_drawn_less():
    """Two of eight are always two rounds late; with aversion they are drawn far less often."""

    def slow(key, round_index, sellers):
        return jnp.where(sellers < 2, 2, 0).astype(jnp.int32)

    spec = dataclasses.replace(SPEC, delay=slow, num_sampled=2, attack="none")
    drawn = []
    for aversion in (0.0, 3.0):
        hparams = dataclasses.replace(numbers(learning={"delay_aversion": aversion}), attack={})
        outcomes = [play(hparams, seed, spec=spec).rounds for seed in range(6)]
        drawn.append(sum((np.asarray(rounds.sellers) < 2).sum() for rounds in outcomes))
    assert drawn[1] < 0.6 * drawn[0]
