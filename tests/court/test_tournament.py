"""The tournament without hashes: the closed form, the game with hashes, and what Sybils cost."""

import functools
import random

import jax
import numpy as np
import pytest
from scipy.stats import binomtest

from d2m_jax.court import game
from d2m_jax.court.players import Player, at_the_last, play_case
from d2m_jax.court.tournament import (
    depth_of,
    hold_trial,
    longest,
    probability_heard,
    rounds_of,
    survival,
)
from tests.court.worlds import WORK, honest, lying

WORLDS = 4_000
STEPS = len(WORK.steps)
USUAL = {"sybils": 1, "steps": STEPS, "censorship": 0.0, "window": 50, "budget": 40,
         "judging": 60}  # fmt: skip


@functools.cache
def trials():
    def one(key, numbers):
        return hold_trial(key, **numbers)

    run = jax.jit(jax.vmap(one, (0, None)))
    keys = jax.random.split(jax.random.key(5), WORLDS)
    return lambda **change: jax.device_get(
        run(keys, {k: np.float32(v) for k, v in {**USUAL, **change}.items()})
    )


def within(count, probability, level=0.999):
    found = binomtest(int(count), WORLDS).proportion_ci(level)
    return found.low <= probability <= found.high


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"censorship": 0.9, "budget": 30},
        {"censorship": 0.5, "budget": 5, "sybils": 3},
        {"censorship": 0.8, "budget": 40, "sybils": 20, "judging": 12},
        {"censorship": 0.9, "window": 12},
        {"censorship": 0.7, "budget": 45, "steps": 2**20 - 1, "sybils": 2},
    ],
)
def test_who_is_heard_is_what_the_closed_form_says(change):
    heard = probability_heard(**{**USUAL, **change})
    assert within(trials()(**change).holds.sum(), heard)
    assert (0.02 < heard < 0.98) == bool(change)


def test_two_sides_of_a_duel_with_hashes_and_censorship_end_as_the_closed_form_says():
    """The pure game, block by block, where each block censors by chance."""
    terms, out, worlds = game.Terms(budget=8, window=12), 0.8, 300
    wins = 0
    for seed in range(worlds):
        draw = random.Random(seed)
        quiet = [draw.random() < out for _ in range(500)]
        truth = Player(1, honest(), reaches=lambda block, quiet=quiet: not quiet[block])
        players = [Player(2, lying(3), honest=False), truth]  # the truth comes second, moves first
        played = play_case(game.Court(terms), WORK, players)
        wins += played.result == honest().tree.leaves[-1]
    # In the game an answer may go into the block of what it answers, the first into the claim's,
    # and the window begins with the liar's claim, in block 1.
    numbers = {**USUAL, "censorship": out, "budget": terms.budget, "window": terms.window}
    low = probability_heard(**numbers)
    more = {"steps": 3, "budget": terms.budget + 1, "window": terms.window + 2}
    high = probability_heard(**{**numbers, **more})
    found = binomtest(wins, worlds).proportion_ci(0.999)
    assert low < high and found.low < high and found.high > low
    assert 0.2 < wins / worlds < 0.98


@pytest.mark.parametrize("sybils", [1, 3, 7])
def test_messages_and_delay_bound_those_of_the_game(sybils):
    crowd = [
        Player(100 + i, lying(i % 5, 500 + i), answers=at_the_last, honest=False)
        for i in range(sybils)
    ]
    played = play_case(game.Court(game.Terms()), WORK, [*crowd, Player(1, honest())])
    trial = trials()(sybils=sybils)
    assert trial.holds.all()
    assert played.messages <= trial.messages[0] == 2 * (sybils + 1) + sybils * (WORK.depth + 1) + 2
    assert played.blocks <= longest(sybils, 40, 60)
    assert trial.delay.max() <= longest(sybils, 40, 60)


def test_delay_is_logarithmic_and_messages_are_linear_in_sybils():
    found = {k: trials()(sybils=k) for k in (1, 2, 4, 8, 64, 1_024)}
    delay = {k: trial.delay.mean() for k, trial in found.items()}
    per_round = delay[4] - delay[2]  # of one, the window is longer than the duel
    assert per_round > 40
    assert delay[1_024] == pytest.approx(delay[4] + 8 * per_round, rel=0.02)
    messages = {k: int(trial.messages[0]) for k, trial in found.items()}
    assert messages[1_024] == pytest.approx(1_024 * (messages[2] - messages[1]), rel=0.01)
    gas = {k: float(trial.gas[0]) for k, trial in found.items()}
    assert gas[8] - gas[4] == pytest.approx(4 * (gas[2] - gas[1]), rel=1e-3)


def test_depths_and_rounds_are_those_of_the_game():
    for steps in (1, 2, 3, 4, 15, 16, 2**20):
        assert int(depth_of(float(steps))) == steps.bit_length()
    assert WORK.depth == int(depth_of(float(STEPS)))
    assert [int(rounds_of(float(k))) for k in (1, 2, 3, 4, 7, 8)] == [1, 2, 3, 3, 4, 4]
    assert survival(0.3, 4) == pytest.approx(0.7**4) and survival(1.0, 1, 0.25) == 0.75
