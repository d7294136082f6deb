"""Lies of a buyer about what it wants keep the shapes and show only what they are to show."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.attacks.buyers import BUYERS, deny, exclude, starve

LABELS = jnp.arange(40) % 5
BATCH = {"inputs": jnp.arange(40.0)[:, None] * jnp.ones((1, 3)), "labels": LABELS}
KEY = jax.random.key(2)


@pytest.mark.parametrize("name", BUYERS)
def test_shapes_stay_and_inputs_keep_their_labels_but_for_denial(name):
    got = jax.jit(lambda key, batch: BUYERS[name](key, batch, classes=(1, 3)))(KEY, BATCH)
    assert jax.tree.map(jnp.shape, got) == jax.tree.map(jnp.shape, BATCH)
    own = np.asarray(got["inputs"][:, 0].astype(jnp.int32) % 5)
    same = (own == np.asarray(got["labels"])).mean()
    assert same == 1 if name != "deny" else same < 0.5


def test_only_the_classes_in_question():
    assert set(np.asarray(starve(KEY, BATCH, (1, 3))["labels"])) == {1, 3}
    assert set(np.asarray(exclude(KEY, BATCH, (1, 3))["labels"])) == {0, 2, 4}
    assert sorted(np.asarray(deny(KEY, BATCH)["labels"])) == sorted(np.asarray(LABELS))
    np.testing.assert_array_equal(starve(KEY, BATCH, (9,))["inputs"], BATCH["inputs"])
