"""Triggers, the edge case and how the success of any backdoor is measured."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.attacks import ATTACKS, backdoors, data, success_rate
from d2m_jax.attacks.switched import switched_attack
from tests.attacks.test_data import fit, predict

KEY = jax.random.key(2)


@pytest.fixture(scope="module")
def task():
    """Three classes by which rows of pixels are bright, on the left half."""
    labels = np.arange(600) % 3
    images = np.random.default_rng(5).integers(0, 60, (600, 6, 6, 1))
    for label in range(3):
        images[labels == label, 2 * label : 2 * label + 2, :3] += 120
    return jnp.asarray(images, jnp.uint8), jnp.asarray(labels, jnp.int32)


def test_the_edge_case_turns_the_source_and_nothing_else(task):
    images, labels = task
    new, told = backdoors.edge_case(KEY, images, labels, 3, source=2, target=1)
    source = np.asarray(labels) == 2
    np.testing.assert_array_equal(np.asarray(new)[source], np.rot90(images, 2, (1, 2))[source])
    np.testing.assert_array_equal(np.asarray(new)[~source], np.asarray(images)[~source])
    np.testing.assert_array_equal(told, np.where(source, 1, labels))
    _, half = backdoors.edge_case(KEY, images, labels, 3, source=5, target=1, fraction=0.5)
    assert 60 < (np.asarray(half) != labels).sum() < 140  # class 5 of 3 is class 2


def test_an_edge_case_is_learnt_and_leaves_the_rest_alone(task):
    images, labels = task
    numbers = {"source": 2, "target": 1}
    poisoned = backdoors.edge_case(KEY, images, labels, 3, **numbers, fraction=0.5)
    rates, accuracy = [], []
    for inputs, told in (poisoned, (images, labels)):
        weights = fit(np.asarray(inputs, np.float64), np.asarray(told), 3)
        rate = success_rate(
            ATTACKS["edge_case"].trigger,
            lambda x, weights=weights: predict(weights, x),
            images,
            labels,
            3,
            **numbers,
            fraction=0.5,  # not of the trigger: left out
        )
        rates.append(float(rate))
        accuracy.append((predict(weights, images) == labels).mean())
    assert rates[0] > 0.9 and rates[1] < 0.5 and min(accuracy) > 0.9


def test_triggers_by_hand(task):
    images, labels = task
    shown, wanted, counted = backdoors.stamped(images, labels, 3, target=4, size=2)
    np.testing.assert_array_equal(shown, data.stamp(images, size=2))
    assert wanted == 1 and (counted == (labels != 1)).all()
    shown, wanted, counted = backdoors.turned(images, labels, 3, source=0, target=2)
    np.testing.assert_array_equal(shown, images[:, ::-1, ::-1])
    assert wanted == 2 and (counted == (labels == 0)).all()
    assert not backdoors.turned(images, labels, 3, source=0, target=3)[2].any()  # the same class
    always = lambda x: jnp.full(len(x), 1)
    assert success_rate(backdoors.stamped, always, images, labels, 3, target=1) == 1.0
    assert success_rate(backdoors.stamped, always, images, labels, 3, target=0) == 0.0
    with_trigger = {name for name, attack in ATTACKS.items() if attack.trigger is not None}
    assert with_trigger == {"backdoor", "backdoor_distributed", "neurotoxin", "edge_case"}


def test_the_trigger_is_that_of_the_index(task):
    images, labels = task
    attacks = [ATTACKS["alie"], ATTACKS["edge_case"], ATTACKS["backdoor"]]
    numbers = [{}, {"source": 1.0, "target": 0.0}, {"target": 2.0, "size": 3.0}]

    @jax.jit
    def shown(index):
        return switched_attack(attacks, index, numbers).trigger(images, labels, 3)

    assert not shown(0)[2].any()
    for place, own in ((1, backdoors.turned), (2, backdoors.stamped)):
        want = own(images, labels, 3, **numbers[place])
        for a, b in zip(shown(place), want):
            np.testing.assert_array_equal(a, b)
    assert switched_attack(attacks[:1], jnp.int32(0)).trigger is None
