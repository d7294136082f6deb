"""Runs as arrays: typed as a single market types its numbers, with 64 bits and without."""

import jax
import numpy as np
import pytest

from configs.digits import get_config
from d2m_jax import as_arrays, parse_config
from d2m_jax.data import load
from d2m_jax.market import deal
from d2m_jax.market.job_data import serving
from d2m_jax.sweep import batch
from d2m_jax.sweep.batch import stack_hparams
from d2m_jax.sweep.plan import Picks, pick_of
from tests.sweep.small import base


@pytest.mark.parametrize("wide", [False, True])
def test_numbers_have_the_types_of_those_of_one_market(wide):
    config = parse_config(get_config())
    with jax.enable_x64(wide):
        stacked = stack_hparams([config, config], Picks(*((one,) for one in pick_of(config))))
        alone = as_arrays(config.hparams)
    for name in ("money", "rules", "learning", "population", "requests", "cone"):
        many, one = getattr(stacked, name), getattr(alone, name)
        for column, number in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
            assert column.dtype == number.dtype
            np.testing.assert_array_equal(column, np.full(2, number))
    assert stacked.money.buyer_funds.dtype == (np.int64 if wide else np.int32)


def test_the_examples_of_buyers_are_kept_once_for_all_runs_of_a_split(monkeypatch):
    """Sellers' holdings follow the seed of the run; what was forgotten is dealt again."""
    monkeypatch.setattr(batch, "RECENT", 1)
    jobs = base(num_jobs=2)
    jobs["data"]["job_classes"] = ((0, 1, 2), (5, 6, 7))
    config = parse_config(jobs)
    configs = [config._replace(seed=seed) for seed in range(3)]
    dealer = batch.Dealer(load("digits"))
    dealt = [dealer.deal(one) for one in configs]
    for one, found in zip(configs, dealt, strict=True):
        serves = serving(one.spec, one.hparams, one.seed)
        alone = deal(dealer.dataset, one.data, 8, whole_pool=True, serves=serves)
        for name, leaf in found.items():
            jax.tree.map(np.testing.assert_array_equal, leaf, getattr(alone, name))
        assert all(found[name] is dealt[0][name] for name in ("correction", "verdict", "root"))
    assert not np.array_equal(dealt[0]["rows"], dealt[1]["rows"])
    again = dealer.deal(configs[0])
    assert again["rows"] is not dealt[0]["rows"]
    np.testing.assert_array_equal(again["rows"], dealt[0]["rows"])
