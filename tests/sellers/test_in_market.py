"""Client and server options through the whole market, against a float64 replay of its rounds.

The replay shares the documented keys and batches with the market, and nothing else: gradients,
local steps, momentum, control variates, the mean and the server's step are written out here.
"""

import dataclasses

import jax
import numpy as np
import pytest

from d2m_jax.market.choices import chosen
from d2m_jax.market.validation import validate
from d2m_jax.sellers import draw_batch, participation
from tests.sellers.test_local import gradient_by_hand
from tests.worlds import SPEC, digits, market, numbers, play

pytestmark = pytest.mark.slow

ROUNDS, BATCH, CLASSES = 5, 8, 10
PLAIN = dataclasses.replace(
    SPEC,
    num_rounds=ROUNDS,
    eval_every=ROUNDS,
    batch_size=BATCH,
    attack="none",
    sampler="uniform",
    aggregator="mean",
    contribution="count",
)


def batches(seed, spec, round_index):
    """(key of participation, (seller, step) -> batch) of a round."""
    _, data = digits()
    run_key = jax.random.split(jax.random.key(seed), 4)[3]
    rounds_key = jax.random.split(jax.random.split(run_key, 3)[0])[1]
    keys = jax.random.split(jax.random.fold_in(rounds_key, round_index), 5)

    @jax.jit
    def draw(seller, step):
        key = jax.random.fold_in(jax.random.fold_in(keys[2], seller), step)
        return draw_batch(key, data, seller, BATCH, market(spec).model.prepare)

    return keys[1], draw


def rounds_late(spec, hparams, seed, round_index, who):
    """[S]: of the drawn sellers, not more than there are earlier models that are kept."""
    run_key = jax.random.split(jax.random.key(seed), 4)[3]
    schedule_key = jax.random.split(jax.random.split(run_key, 3)[0])[0]
    key = jax.random.fold_in(schedule_key, spec.num_sellers + 1)
    late = chosen(spec, "delay")(key, round_index, who, **hparams.delay)
    return np.minimum(late, min(round_index, spec.max_delay))


def replay(spec, hparams, outcome, seed=0):
    """[D] float64: the model after all rounds; who was drawn and what CONE accepted are given."""
    numbers_, rounds = hparams.learning, outcome.rounds
    lr, beta = numbers_.lr, numbers_.client_momentum
    model_key = jax.random.split(jax.random.key(seed), 4)[2]
    theta = np.asarray(market(spec).model.init(model_key), np.float64)
    sent = np.zeros((spec.num_sellers, theta.size))
    own, server = np.zeros_like(sent), np.zeros_like(theta)
    v, m, nu, taken = 0.0, 0.0, 0.0, 0
    models = []
    for r in range(ROUNDS):
        models.append(theta.copy())
        who = np.asarray(rounds.sellers[r])
        part_key, draw = batches(seed, spec, r)
        part = participation(
            part_key,
            who,
            local_steps=spec.local_steps,
            drop_out=numbers_.drop_out,
            straggle=numbers_.straggle,
        )
        rows, plain, late = [], {}, np.zeros(len(who), int)
        if spec.delay != "none":
            late = rounds_late(spec, hparams, seed, r, who)
        for seller, steps, d in zip(who, np.asarray(part.steps), late):
            begin = models[r - d]
            at, total = begin.copy(), np.zeros_like(theta)
            for i in range(steps):
                batch = draw(seller, i)
                images, labels = np.asarray(batch["inputs"], np.float64), batch["labels"]
                g = gradient_by_hand(at, images, labels, CLASSES)
                g += numbers_.weight_decay * at + numbers_.proximal * (at - begin)
                g += (server - own[seller]) * spec.scaffold
                total += g
                at -= numbers_.lr_local * g
            update = total / max(steps, 1)
            if spec.client_momentum == "ema":
                sent[seller] = beta * sent[seller] + (1 - beta) * update
            elif spec.client_momentum == "heavy_ball":
                sent[seller] = beta * sent[seller] + update
            else:
                sent[seller] = update
            if steps:
                rows.append(sent[seller] * (1.0 + d) ** -numbers_.staleness)
                plain[seller] = update
        digest = int(rounds.accepted_digest[r])
        if digest < 0:
            continue
        direction = np.mean(rows, axis=0) if rows else np.zeros_like(theta)
        direction *= 1 if digest == 0 else -hparams.conduct.spoil
        for seller, update in plain.items():
            own[seller] += update - server
        server = server + len(plain) / spec.num_sellers * (direction - server)
        if spec.server_optimizer == "sgd":
            v = numbers_.momentum * v + direction
            theta = theta - lr * v
        else:  # adam
            b1, b2, taken = numbers_.momentum, numbers_.server_decay, taken + 1
            m, nu = b1 * m + (1 - b1) * direction, b2 * nu + (1 - b2) * direction**2
            root = np.sqrt(nu / (1 - b2**taken)) + numbers_.adaptivity
            theta = theta - lr * m / (1 - b1**taken) / root
    return theta


WORLDS = {
    "late updates": (
        {"delay": "by_seller", "max_delay": 2, "local_steps": 2, "client_momentum": "ema"},
        {"staleness": 0.5, "lr_local": 0.3, "proximal": 0.5},
    ),
    "single gradients, drop-outs, server momentum": (
        {},
        {"drop_out": 0.3, "momentum": 0.7, "weight_decay": 0.1},
    ),
    "local steps, FedProx, stragglers": (
        {"local_steps": 3},
        {"lr_local": 0.3, "proximal": 0.5, "straggle": 0.4, "weight_decay": 0.1},
    ),
    "ema": ({"client_momentum": "ema"}, {"client_momentum": 0.8, "drop_out": 0.2}),
    "heavy ball": ({"client_momentum": "heavy_ball"}, {"client_momentum": 0.8}),
    "SCAFFOLD, stragglers, Adam": (
        {"local_steps": 3, "scaffold": True, "server_optimizer": "adam"},
        {"lr_local": 0.3, "straggle": 0.4, "lr": 0.05, "momentum": 0.6, "server_decay": 0.9},
    ),
}


@pytest.mark.parametrize("name", WORLDS)
def test_rounds_of_the_market_in_float64(name):
    changes, learning = WORLDS[name]
    spec = dataclasses.replace(PLAIN, **changes)
    hparams = numbers(learning=learning, attack={})
    hparams = dataclasses.replace(hparams, attack={})
    validate(spec, hparams)
    outcome = play(hparams, spec=spec)
    assert (np.asarray(outcome.rounds.accepted_digest) == 0).all()
    want = replay(spec, hparams, outcome)
    np.testing.assert_allclose(outcome.theta, want, atol=2e-5)
    if "drop_out" in learning or "straggle" in learning:
        assert not np.asarray(outcome.rounds.valid).all()
    else:
        assert np.asarray(outcome.rounds.valid).all()


def test_wrong_and_undecided_rounds_move_or_keep_all_memory():
    """An accepted wrong result enters optimiser and controls; an undecided round leaves them."""
    changes, learning = WORLDS["SCAFFOLD, stragglers, Adam"]
    spec = dataclasses.replace(PLAIN, **changes)

    def world(**population):
        hparams = numbers(learning=learning, population=population)
        return dataclasses.replace(hparams, attack={})

    captured = world(num_colluding=SPEC.num_nodes)
    outcome = play(captured, spec=spec)
    assert (np.asarray(outcome.rounds.accepted_digest) > 0).all()
    np.testing.assert_allclose(outcome.theta, replay(spec, captured, outcome), atol=5e-5)
    mute = world(num_silent=SPEC.num_nodes)
    outcome = play(mute, spec=spec)
    assert (np.asarray(outcome.rounds.accepted_digest) < 0).all()
    np.testing.assert_allclose(outcome.theta, replay(spec, mute, outcome), atol=0)


def test_scaffold_with_momentum_or_noise_is_refused():
    for field, value in (("client_momentum", "ema"), ("privacy", "update")):
        spec = dataclasses.replace(PLAIN, scaffold=True, **{field: value})
        with pytest.raises(ValueError, match="scaffold corrects plain local gradients"):
            validate(spec, dataclasses.replace(numbers(), attack={}))
