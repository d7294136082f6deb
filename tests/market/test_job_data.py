"""Jobs that want different classes: who holds what, and what each job sees."""

import dataclasses

import jax
import numpy as np
import pytest

from d2m_jax import HParams, Spec
from d2m_jax.config.population import Population
from d2m_jax.market import deal_jobs, job_data
from d2m_jax.market.jobs import DATA_AXES, has_own_data
from d2m_jax.market.keys import opening_keys
from d2m_jax.market.requests import asked_tags
from d2m_jax.market.roles import draw_roles
from tests.worlds import digits

CLASSES = [(0, 1, 2, 3), (4, 5, 6), (7, 8, 9)]
SERVES = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 0, 0], [0, 0, 0]], bool)


@pytest.fixture(scope="module")
def dealt():
    """Three jobs, four sellers that serve some of them and one that serves none."""
    return jax.device_get(deal_jobs(digits()[0], CLASSES, SERVES, num_validation=100))


def held(data, job, seller):
    """The labels that a seller has for a job."""
    start, size = data.starts[job, seller], data.sizes[job, seller]
    return data.pool["labels"][data.rows[job, start : start + size]]


def test_a_seller_brings_to_a_job_what_the_job_wants(dealt):
    assert has_own_data(dealt) and dealt.sizes.shape == (3, 5)
    for job, some in enumerate(CLASSES):
        for seller in range(5):
            fits = np.isin(held(dealt, job, seller), some)
            wanted = SERVES[seller, job] or seller == 4  # which has examples of all classes
            assert fits.all() if wanted else not fits.any()


def test_no_example_is_held_twice_and_all_that_are_wanted_are_held(dealt):
    for job, some in enumerate(CLASSES):
        rows = [
            dealt.rows[job, start : start + size]
            for start, size in zip(dealt.starts[job], dealt.sizes[job])
        ]
        flat = np.concatenate(rows)
        assert len(np.unique(flat)) == len(flat)
        wanted = np.isin(dealt.pool["labels"], some).sum()
        assert np.isin(dealt.pool["labels"][flat], some).sum() == wanted


def test_buyers_and_reports_see_only_classes_of_the_job(dealt):
    for name in ("correction", "verdict", "test"):
        labels = getattr(dealt, name)["labels"]
        assert labels.shape[0] == 3 and labels.shape[1] > 0
        for job, some in enumerate(CLASSES):
            assert np.isin(labels[job], some).all()


def test_every_field_has_an_axis_or_is_shared(dealt):
    axes = {name: getattr(DATA_AXES, name) for name in vars(dealt)}
    for name, axis in axes.items():
        leaves = jax.tree.leaves(getattr(dealt, name))
        assert all((leaf.shape[:1] == (3,)) == (axis == 0) for leaf in leaves), name


def test_a_job_without_a_seller_is_refused():
    with pytest.raises(ValueError, match="every job needs a seller"):
        deal_jobs(digits()[0], CLASSES, SERVES[:, :1].repeat(3, axis=1) & [True, True, False])


def test_who_serves_a_job_is_compiled_once_for_all_rules(monkeypatch):
    """Roles know nothing of rules and attacks; they are those of the market."""
    traces = []

    def counted(key, who, spec, tags):
        traces.append(spec)
        return draw_roles(key, who, spec, tags)

    monkeypatch.setattr(job_data, "draw_roles", counted)
    spec = Spec(num_jobs=3, num_sellers=11, num_nodes=21)
    hparams = HParams(population=Population(breadth=2, num_strangers=1))
    first = job_data.serving(spec, hparams, 5)
    other = dataclasses.replace(spec, aggregator="krum", attack="ipm", stop_rule="fraction")
    np.testing.assert_array_equal(job_data.serving(other, hparams, 5), first)
    assert len(traces) == 1
    roles = draw_roles(
        opening_keys(jax.random.key(5)).roles, hparams.population, other, asked_tags(other, hparams)
    )
    wanted = 1 << np.arange(3)
    np.testing.assert_array_equal(first, (np.asarray(roles.holds)[:, None] & wanted) != 0)
    assert first.sum() == 2 * 10
