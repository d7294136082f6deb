"""Attacks by index: the chosen one, and only that one."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.attacks import ATTACKS, AttackContext
from d2m_jax.attacks.switched import switched_attack

NAMES = ["none", "sign_flip", "mimic_variance", "label_flip", "alie"]
X = jax.random.normal(jax.random.key(0), (8, 30))
BAD = jnp.arange(8) < 2


def by_attack(index, key, updates):
    attacks = [ATTACKS[name] for name in NAMES]
    attack = switched_attack(attacks, index, [attack.numbers for attack in attacks])
    context = AttackContext(state=attack.init_state(30))
    memory = attack.observe(context.state, updates, BAD, context=context)
    context = context._replace(state=memory)
    forged = attack.forge(key, updates, BAD, context=context)
    images, labels = jnp.zeros((4, 2, 2, 1), jnp.uint8), jnp.arange(4)
    poisoned = attack.poison(key, images, labels, 10, seller=jnp.int32(0))
    return forged, memory, poisoned


@pytest.mark.parametrize("place", range(len(NAMES)))
def test_the_attack_its_memory_and_its_data_are_those_of_the_index(place):
    attack, key = ATTACKS[NAMES[place]], jax.random.key(3)
    forged, memory, (_, labels) = jax.jit(by_attack)(place, key, X)
    context, want = AttackContext(), X
    if attack.init_state:
        state = attack.observe(attack.init_state(30), X, BAD, context=context, **attack.numbers)
        chex.assert_trees_all_close(memory[place], state, rtol=1e-5, atol=1e-6)
        context = context._replace(state=state)
    if attack.forge:
        want = attack.forge(key, X, BAD, context=context, **attack.numbers)
    np.testing.assert_allclose(forged, want, rtol=1e-5, atol=1e-6)
    flipped = NAMES[place] == "label_flip"
    assert (labels.tolist() == [9, 8, 7, 6]) == flipped
    assert (labels.tolist() == [0, 1, 2, 3]) != flipped


def test_worlds_that_share_the_index_run_one_branch():
    keys, worlds = jax.random.split(jax.random.key(0), 4), jnp.stack([X] * 4)
    shared = jax.make_jaxpr(jax.vmap(by_attack, in_axes=(None, 0, 0)))(1, keys, worlds)
    apart = jax.make_jaxpr(jax.vmap(by_attack))(jnp.ones(4, jnp.int32), keys, worlds)
    assert str(shared).count(" cond[") == 3 and str(apart).count(" cond[") == 0


def test_numbers_belong_to_attacks_by_place():
    attacks = [ATTACKS["none"], ATTACKS["sign_flip"], ATTACKS["norm_inflation"]]
    numbers = ({}, {"scale": 3.0}, {"scale": jnp.float32(0.5)})
    context = AttackContext(state=((), (), ()))
    for place, factor in enumerate((1, -3, 0.5)):
        attack = switched_attack(attacks, jnp.int32(place), numbers)
        assert attack.numbers == {}
        forged = attack.forge(jax.random.key(0), X, BAD, context=context)
        np.testing.assert_array_equal(forged[:2], factor * X[:2])
    with pytest.raises(ValueError, match="3 attacks need the numbers of each, not 2"):
        switched_attack(attacks, jnp.int32(0), numbers[:2])
