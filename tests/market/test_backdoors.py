"""How often a backdoor opens: against a count with NumPy, and where the answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.attacks import ATTACKS
from d2m_jax.attacks.data import stamp
from d2m_jax.attacks.switched import switched_attack
from d2m_jax.config.arrays import as_arrays
from d2m_jax.market import make_market
from d2m_jax.market.backdoors import attack_success
from tests.worlds import SPEC, digits, numbers

TRIGGER = {"target": 3.0, "size": 2.0, "offset": 0.0, "value": 16.0}


def parts(attack):
    import dataclasses

    return make_market(dataclasses.replace(SPEC, attack=attack), digits()[0]).parts


def hparams(**numbers_of_attack):
    return as_arrays(numbers(attack=numbers_of_attack))


def counted(parts, theta, target, size, offset, value):
    """Prediction by prediction, with NumPy."""
    data = digits()[1]
    images, labels = np.asarray(data.test["inputs"]), np.asarray(data.test["labels"])
    stamped = stamp(jnp.asarray(images), size=size, offset=offset, value=value)
    batch = parts.model.prepare({"inputs": stamped, "labels": jnp.asarray(labels)}, data.stats)
    said = np.asarray(parts.model.apply(theta, batch)).argmax(-1)
    others = labels != target
    return (said[others] == target).mean()


@pytest.mark.parametrize("attack", ["backdoor", "backdoor_distributed"])
def test_the_rate_is_a_count_of_predictions(attack):
    made = parts(attack)
    theta = made.model.init(jax.random.key(1))
    found = attack_success(made, theta, hparams(**TRIGGER), digits()[1])
    assert found.dtype == jnp.float32
    assert float(found) == pytest.approx(counted(made, theta, **TRIGGER), abs=1e-6)


@pytest.mark.parametrize(("favourite", "rate"), [(3, 1.0), (4, 0.0)])
def test_a_model_that_always_says_one_class(favourite, rate):
    made = parts("backdoor")
    tree = made.model.unravel(jnp.zeros(made.model.num_params))
    leaves, shape = jax.tree.flatten(tree)
    biased = [jnp.zeros(10).at[favourite].set(5.0) if x.shape == (10,) else x for x in leaves]
    theta = jnp.concatenate([x.reshape(-1) for x in biased])
    assert jax.tree.structure(made.model.unravel(theta)) == shape
    assert float(attack_success(made, theta, hparams(**TRIGGER), digits()[1])) == rate


def test_without_a_trigger_there_is_no_rate():
    made = parts("sign_flip")
    theta = made.model.init(jax.random.key(1))
    assert float(attack_success(made, theta, hparams(), digits()[1])) == -1


def test_an_attack_picked_by_index_has_the_rate_of_its_own():
    """What a sweep does: one program, and none where the picked attack has no trigger."""
    made, theta = parts("backdoor"), parts("backdoor").model.init(jax.random.key(1))
    attacks = [ATTACKS["sign_flip"], ATTACKS["backdoor"]]

    @jax.jit
    def rate(index):
        picked = switched_attack(attacks, index, [{}, TRIGGER])
        return attack_success(made._replace(attack=picked), theta, hparams(), digits()[1])

    alone = attack_success(made, theta, hparams(**TRIGGER), digits()[1])
    assert float(rate(0)) == -1 and float(rate(1)) == pytest.approx(float(alone), abs=1e-6)
