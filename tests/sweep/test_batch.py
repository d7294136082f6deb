"""Runs as arrays: typed as a single market types its numbers, with 64 bits and without."""

import jax
import numpy as np
import pytest

from configs.digits import get_config
from d2m_jax import as_arrays, parse_config
from d2m_jax.sweep.batch import stack_hparams
from d2m_jax.sweep.plan import Picks, pick_of


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
