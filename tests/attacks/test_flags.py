"""Every attack and schedule under JAX's flags and transformations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.attacks import ATTACKS, SCHEDULES, AttackContext
from d2m_jax.core.choices import taken
from tests import flags

S, D, L = 7, 5, 4
ROWS = (0.5 + np.random.default_rng(1).normal(size=(S, D))).astype(np.float32)
TWO = np.isin(np.arange(S), [2, 5])


def clipped_mean(updates, mask):
    squares = jnp.sum(jnp.where(mask[:, None], updates, 0) ** 2, axis=1)
    weights = jnp.where(mask, jnp.minimum(1, 3 / jnp.sqrt(squares + 1e-6)), 0)
    return weights @ jnp.where(mask[:, None], updates, 0) / S


def play(name, updates, key, rounds=2):
    """Some rounds as a scan, numbers as a market gives them; images and labels as well."""
    attack = ATTACKS[name]
    numbers = {k: jnp.asarray(v, updates.dtype) for k, v in attack.numbers.items()}
    images = jnp.arange(6 * 12, dtype=jnp.uint8).reshape(6, 2, 6, 1)
    labels = jnp.arange(6, dtype=jnp.int32) % L

    def one(memory, xs):
        number, key = xs
        context = AttackContext(
            previous=updates[0],
            round_index=number,
            mask=jnp.arange(S) != number,
            ids=jnp.arange(S, dtype=jnp.int32),
            tolerated_f=jnp.int32(2),
            state=memory,
            defence=clipped_mean,
            damage=lambda step: jnp.sum((step - 2) ** 2),
            mass=jnp.ones(S, updates.dtype),
            reputation=jnp.ones(S, updates.dtype),
        )
        bad, out, batch = jnp.asarray(TWO), updates, (images, labels)
        if attack.observe is not None:
            own = taken(attack.observe, numbers)
            memory = attack.observe(memory, updates, bad, context=context, **own)
            context = context._replace(state=memory)
        if attack.forge is not None:
            own = taken(attack.forge, numbers)
            out = attack.forge(key, updates, bad, context=context, **own)
        if attack.poison is not None:
            own = taken(attack.poison, numbers)
            batch = attack.poison(key, *batch, L, seller=jnp.int32(3), **own)
        return memory, (out, batch)

    memory = attack.init_state(D) if attack.init_state else ()
    keys = jax.random.split(key, rounds)
    return jax.lax.scan(one, memory, (jnp.arange(rounds, dtype=jnp.int32), keys))[1]


@pytest.mark.few(1, each="name", rest="long")
@pytest.mark.parametrize("flag", flags.TRACED)
@pytest.mark.parametrize("name", ATTACKS)
def test_traces_clean_under_every_flag(name, flag):
    with flags.TRACED[flag]():
        for dtype in (np.float32, np.float64) if flag == "x64" else (np.float32,):
            like = jax.ShapeDtypeStruct((S, D), dtype)
            out, batch = jax.eval_shape(lambda x: play(name, x, jax.random.key(0)), like)
            assert out.shape == (2, S, D) and out.dtype == dtype
            assert [leaf.dtype for leaf in batch] == [np.uint8, np.int32]


FINITE = [name for name, attack in ATTACKS.items() if attack.finite]


@pytest.mark.few(8)
@pytest.mark.parametrize("name", FINITE)
def test_old_keys_and_no_nan_as_without_jit_and_new_keys(name):
    """Those that rehearse call the defence hundreds of times, too often for one by one."""
    run = lambda x, key: play(name, x, key, rounds=1)
    with jax.debug_nans(True):
        want = jax.jit(run)(ROWS, flags.key_of("legacy", 1))
    if "defence" not in ATTACKS[name].needs:
        with jax.disable_jit():
            got = run(jnp.asarray(ROWS), flags.key_of("typed", 1))
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want)):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.few(2)
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_under_every_flag(name):
    schedule, bad = SCHEDULES[name], jnp.arange(9) < 4
    numbers = {k: jnp.float32(v) for k, v in schedule.numbers.items()}

    def run(kind):
        one = lambda r: schedule(flags.key_of(kind), r, bad, **numbers)
        return jax.lax.map(one, jnp.arange(12, dtype=jnp.int32))

    want = run("typed")
    for name, flag in (flags.TRACED | flags.EXECUTED).items():
        with flag():
            for kind in ("typed", "legacy"):
                got = run(kind)
                assert got.dtype == bool
                if name != "x64":  # other draws
                    np.testing.assert_array_equal(got, want)
