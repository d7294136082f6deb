"""Copies are discounted or valued as one: against float64, graphs by hand, games in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.incentives import CONTRIBUTIONS, Evidence
from d2m_jax.incentives.clusters import (
    clusters,
    connected,
    of_owner,
    replication_discount,
    representatives,
)
from d2m_jax.incentives.coalitions import all_coalitions
from d2m_jax.incentives.values import shapley

TARGET = jnp.array([1.0, 1.0, 1.0, 0.0])


def evidence(rows, accepted=None):
    """A quadratic loss that falls towards TARGET."""
    rows = jnp.asarray(rows, jnp.float32)
    return Evidence(
        accepted=jnp.ones(len(rows), bool) if accepted is None else jnp.asarray(accepted),
        gain=jnp.ones(len(rows)),
        mass=jnp.ones(len(rows)),
        updates=rows,
        lr=0.5,
        losses_of=lambda steps: jnp.square(TARGET[None] - 0.5 * steps).sum(1),
        gradient_at=lambda step: 2 * (TARGET - 0.5 * step),
    )


def components(alike):
    """Depth-first search, lowest member of each component."""
    found = np.full(len(alike), -1)
    for start in range(len(alike)):
        todo = [start] if found[start] < 0 else []
        while todo:
            i = todo.pop()
            if found[i] < 0:
                found[i] = start
                todo += [j for j in range(len(alike)) if alike[i, j] or alike[j, i]]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_components_are_those_of_a_search(seed):
    rng = np.random.default_rng(seed)
    graphs = rng.random((50, 12, 12)) < 0.02 * (seed + 1)
    found = jax.vmap(connected)(jnp.asarray(graphs))
    np.testing.assert_array_equal(found, [components(graph) for graph in graphs])


def test_a_long_chain_is_one_component():
    order = np.random.default_rng(0).permutation(40)
    chain = np.zeros((40, 40), bool)
    chain[order[:-1], order[1:]] = True
    np.testing.assert_array_equal(connected(jnp.asarray(chain)), np.zeros(40))


def test_only_updates_in_use_belong_together():
    rows = jnp.array([[1.0, 0], [2, 0], [3, 0], [0, 0]])
    use = jnp.array([True, False, True, True])
    np.testing.assert_array_equal(clusters(rows, use, 0.9), [0, 1, 0, 3])
    means, counts = representatives(rows, use, clusters(rows, use, 0.9))
    np.testing.assert_allclose(means, [[2, 0], [0, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(counts, [2, 0, 0, 1])


def test_the_discount_against_float64_and_its_promise():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(6, 5))
    use = np.array([True, True, False, True, True, True])
    unit = rows / np.linalg.norm(rows, axis=1)[:, None]
    alike = np.maximum(unit @ unit.T, 0) * use[:, None] * use[None]
    expected = np.where(use, np.exp(-0.7 * (alike.sum(1) - np.diag(alike))), 0)
    found = replication_discount(jnp.asarray(rows, jnp.float32), jnp.asarray(use), 0.7)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for copies in (2, 3, 5):
        same = jnp.ones((copies, 3))
        each = replication_discount(same, jnp.ones(copies, bool), 0.7)
        np.testing.assert_allclose(each.sum(), copies * np.exp(-0.7 * (copies - 1)), rtol=1e-5)
        assert each.sum() < 1


def test_what_an_owners_units_are_worth_does_not_depend_on_their_names():
    """Shapley values of units, added up; of accounts they reward whoever splits."""
    weights = jnp.array([3.0, 1.0, 2.0])
    worth = lambda masks: jnp.sqrt(masks.astype(jnp.float32) @ weights)
    units = shapley(worth(all_coalitions(3)))
    two_names = of_owner(units, jnp.array([0, 1, 2]), 3)
    one_name = of_owner(units, jnp.array([0, 1, 0]), 2)
    np.testing.assert_allclose(two_names[0] + two_names[2], one_name[0], rtol=1e-6)
    np.testing.assert_allclose(one_name.sum(), np.sqrt(6), rtol=1e-6)
    merged = jnp.array([[0, 0, 0], [1, 0, 1], [0, 1, 0], [1, 1, 1]], bool)  # accounts as players
    assert shapley(worth(merged))[0] < one_name[0] - 0.1


@pytest.mark.few(1)
@pytest.mark.parametrize("copies", [2, 3, 5])
def test_copies_of_an_update_earn_together_what_one_did(copies):
    one, other = [1.0, 0.2, 0, 0], [0, 1.0, 0.9, 0]
    alone = CONTRIBUTIONS["quotient"](evidence([one, other]))
    copied = CONTRIBUTIONS["quotient"](evidence([*[one] * copies, other]))
    np.testing.assert_allclose(copied[:copies].sum(), alone[0], rtol=1e-4)
    np.testing.assert_allclose(copied[0], copied[copies - 1], rtol=1e-4)
    plain = CONTRIBUTIONS["round_shapley"](evidence([*[one] * copies, other]))
    assert plain[:copies].sum() > alone[0] + 0.02, "the plain value pays for names"
    less = CONTRIBUTIONS["discounted"](evidence([*[one] * copies, other]), strength=1.0)
    once = CONTRIBUTIONS["discounted"](evidence([one, other]), strength=1.0)
    assert less[:copies].sum() < once[0]


def test_clusters_of_one_are_worth_their_shapley_values():
    rows = np.random.default_rng(2).normal(size=(5, 4)) + 0.5
    accepted = [True, True, False, True, True]
    given = evidence(rows, accepted)
    np.testing.assert_allclose(
        CONTRIBUTIONS["quotient"](given, alike=1.1),
        CONTRIBUTIONS["round_shapley"](given),
        atol=1e-6,
    )
    together = CONTRIBUTIONS["quotient"](given, alike=-1.0)
    np.testing.assert_allclose(together, np.where(accepted, 0.25, 0), atol=1e-6)
    np.testing.assert_allclose(
        CONTRIBUTIONS["discounted"](given, strength=0.0), CONTRIBUTIONS["path"](given), atol=1e-6
    )
