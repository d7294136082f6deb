"""Programs of one run, compiled quickly and side by side, against those that are kept."""

import dataclasses
import functools
import re
import threading
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import as_arrays
from d2m_jax.attacks import ATTACKS, as_attack
from d2m_jax.core.backend import compile_with
from d2m_jax.core.money import divide, mul_bps
from d2m_jax.ledger.gas import ROUND, gas_of_round
from d2m_jax.market import collect
from d2m_jax.market.choices import CHOICES, part_numbers
from d2m_jax.market.programs import is_short, shelf_for, start, trace
from tests.worlds import SPEC, compiled, digits, market, numbers

HONEST, CAPTURED, LIAR = (
    {"num_byzantine": 2, "num_colluding": 3},
    {"num_byzantine": 2, "num_colluding": 15},
    {"num_byzantine": 2, "num_colluding": 0},
)


@pytest.fixture(scope="module")
def traced():
    """The programs of the small market, for any numbers."""
    return trace(market(), jax.random.key(0), as_arrays(numbers()), digits()[1])


@pytest.fixture(scope="module")
def programs(traced):
    """They are compiled once for the three worlds."""
    return start(traced)


@pytest.mark.parametrize(
    ("population", "conduct", "disputes"),
    [
        (HONEST, {}, False),
        (CAPTURED, {"vigilance": 1.0}, True),
        (CAPTURED, {"vigilance": 0.0}, False),
        (LIAR, {"false_dispute": 1.0}, True),
    ],
)
def test_a_run_is_the_same_however_it_is_compiled(programs, population, conduct, disputes):
    """Every whole number; a program without disputes gives way to one with them when there are."""
    hparams = as_arrays(numbers(population=population, conduct=conduct))
    data, key = digits()[1], jax.random.key(3)
    found = collect(programs, key, hparams, data)
    wanted = compiled()(key, hparams, data)
    assert bool(wanted.closing.disputed) == disputes
    for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        if np.issubdtype(mine.dtype, np.floating):
            np.testing.assert_allclose(mine, theirs, atol=2e-5, rtol=2e-5)
        else:
            np.testing.assert_array_equal(mine, theirs)


def test_shapes_are_those_of_the_run(traced, programs):
    """What a checkpoint is compared with."""
    hparams, data = as_arrays(numbers()), digits()[1]
    state = programs.init(jax.random.key(0), hparams, data, None, None)
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), traced.state)


@pytest.mark.slow
def test_kept_programs_are_those_of_the_trace(tmp_path, traced, programs):
    """A second process traces nothing of the market, and every number is the same."""
    pytest.importorskip("flatbuffers", reason="nothing is kept without it")
    dataset, data = digits()
    key, hparams = jax.random.key(3), as_arrays(numbers(population=HONEST))
    shelf = shelf_for(market(), dataset)._replace(folder=tmp_path)
    assert shelf.origin != shelf_for(market(dataclasses.replace(SPEC, rice=False)), dataset).origin
    assert shelf_for(market(dataclasses.replace(SPEC, attack=lambda *_: None)), dataset) is None
    trace(market(), key, hparams, data, shelf)
    silent = market()._replace(init=None, rounds=None)  # they are not called any more
    found = trace(silent, key, hparams, data, shelf)
    assert jax.tree.structure(found.state) == jax.tree.structure(traced.state)
    mine, theirs = (collect(p, key, hparams, data) for p in (start(found), programs))
    jax.tree.map(np.testing.assert_array_equal, mine, theirs)


def test_an_own_dispute_is_always_heard():
    """Nobody knows when a way of one's own has nothing to hear."""

    def never(key, matter):
        from d2m_jax.market.hearing import undisputed

        return undisputed(matter)

    own = market(dataclasses.replace(SPEC, dispute=never))
    traced = trace(own, jax.random.key(0), as_arrays(numbers()), digits()[1])
    assert not traced.quiet
    assert market().parts.spec.dispute == "revote"


def test_long_runs_are_optimised():
    """A market of many rounds or a large model repays the compilation."""
    assert is_short(market())
    assert not is_short(market(dataclasses.replace(SPEC, num_rounds=12_000)))
    small = dataclasses.replace(SPEC, num_rounds=800, eval_every=800)
    assert is_short(market(small))
    assert not is_short(market(dataclasses.replace(small, local_steps=10)))


def test_the_first_program_has_no_disputes(traced):
    """Half of the operations of the end of a job are those of a dispute."""
    hparams, data = as_arrays(numbers()), digits()[1]
    pieces = [jax.tree.map(lambda x: jnp.zeros((2, *x.shape), x.dtype), traced.piece[1])]
    info = jax.tree.map(
        lambda x: jnp.zeros((SPEC.num_rounds, *x.shape[1:]), x.dtype), traced.piece[0]
    )
    whole = jax.jit(market().finish).lower(traced.state, hparams, data, info, pieces[0])
    assert operations(traced.finish.lower()) < 0.65 * operations(whole)


def operations(lowered: jax.stages.Lowered) -> int:
    """Lines of StableHLO."""
    return len(re.findall(r"stablehlo\.\w+", lowered.as_text()))


def test_options_that_are_not_known_are_left_out():
    """Another version of XLA may not have them; other errors stay errors."""
    lowered = jax.jit(lambda x: x + 1).lower(1.0)
    assert compile_with(lowered, {"xla_no_such_option": 1})(1.0) == 2.0
    with pytest.raises(Exception, match="xla_backend_optimization_level"):
        compile_with(lowered, {"xla_backend_optimization_level": "much"})


def test_division_without_signs():
    """As `//` and `%` of whole numbers that are not negative."""
    rng = np.random.default_rng(0)
    amount = np.append(rng.integers(0, 2**31 - 1, 1000), [0, 1, 9_999, 10_000, 2**31 - 1])
    by = rng.integers(1, 2**31 - 1, amount.size)
    for divisor in (by, np.full_like(by, 10_000)):
        quotient, rest = divide(jnp.asarray(amount, jnp.int32), jnp.asarray(divisor, jnp.int32))
        np.testing.assert_array_equal(quotient, amount // divisor)
        np.testing.assert_array_equal(rest, amount % divisor)
    bps = rng.integers(0, 10_001, amount.size)
    exact = [int(a) * int(b) // 10_000 for a, b in zip(amount, bps)]
    np.testing.assert_array_equal(mul_bps(jnp.asarray(amount, jnp.int32), jnp.asarray(bps)), exact)


@pytest.mark.parametrize("sizes", [(20, 20, 64, 0), (20, 7, 64, 30), (256, 100, 1024, 2000)])
def test_gas_of_a_round_on_the_host(sizes):
    """The linear form is `gas_of_round`."""
    sellers, matched, nodes, drawn = sizes
    form = sum(cost * size for cost, size in zip(ROUND, (1, *sizes, 0, 0), strict=True))
    assert form == gas_of_round(
        num_sellers=sellers, num_matched=matched, num_nodes=nodes, num_drawn=drawn
    )


def shelf_with(spec, folder):
    """The shelf of the small market with another spec, which nothing is made of."""
    made = market()._replace(parts=market().parts._replace(spec=spec))
    with mock.patch.dict(jax.config.values, jax_compilation_cache_dir=str(folder)):
        return shelf_for(made, digits()[0])


def test_a_part_that_cannot_be_copied_has_no_shelf(tmp_path):
    """An own attack that holds a lock is looked at, not copied."""
    held = functools.partial(ATTACKS["sign_flip"], lock=threading.Lock())
    assert shelf_with(SPEC, tmp_path) is not None
    assert shelf_with(dataclasses.replace(SPEC, attack=held), tmp_path) is None


def test_a_name_that_stands_for_another_part_has_another_shelf(tmp_path):
    """Or none, where the code is not that of the package; its numbers are its own at once."""

    def own(key, updates, byzantine, *, context, scale=3.0):
        return -scale * updates

    usual = shelf_with(SPEC, tmp_path)
    assert part_numbers(CHOICES["attack"], "sign_flip") != {"scale": 3.0}
    with mock.patch.dict(ATTACKS, sign_flip=ATTACKS["ipm"]):
        assert shelf_with(SPEC, tmp_path).origin != usual.origin
    with mock.patch.dict(ATTACKS, sign_flip=as_attack(own)):
        assert shelf_with(SPEC, tmp_path) is None
        assert part_numbers(CHOICES["attack"], "sign_flip") == {"scale": 3.0}
    assert shelf_with(SPEC, tmp_path) == usual
