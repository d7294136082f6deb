"""Rules by index: the chosen one, and its memory."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.aggregation import make_aggregator
from d2m_jax.aggregation.switched import switched_aggregator

RULES = ["mean", "krum", "centered_clipping", "clipped_clustering"]
X = jax.random.normal(jax.random.key(0), (8, 30))


@jax.jit
def by_rule(index, x):
    rules = [make_aggregator(name) for name in RULES]
    rule = switched_aggregator(rules, index)
    memory = rule.init(8, 30)
    for _ in range(2):
        total, memory = rule.apply(memory, x, 2, jnp.ones(8, bool))
    return total, memory


@pytest.mark.parametrize("place", range(len(RULES)))
def test_the_rule_and_its_memory_are_those_of_the_index(place):
    rule = make_aggregator(RULES[place])
    memory = rule.init(8, 30)
    for _ in range(2):
        want, memory = rule.apply(memory, X, 2, jnp.ones(8, bool))
    got, memories = by_rule(place, X)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(memories[place], memory, rtol=1e-5, atol=1e-6)
    for other, name in enumerate(RULES):
        if other != place:
            chex.assert_trees_all_equal(memories[other], make_aggregator(name).init(8, 30))
