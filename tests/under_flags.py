"""Runs a function as users of JAX's flags run it, and compares with the plain run.

Each room has a table of small calls, `name -> (function, arguments)`, and one test over the table
and the flags. 64 bits, debugging and eager mode must change neither types nor values.
"""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np

FLAGS = ("plain", "x64", "strict", "rank", "eager", "nans", "leaks", "vmap", "scan")
WORDS = jnp.array([7, 2**32 - 5], jnp.uint32)  # a legacy key


def under(flag):
    """The context of a flag; "vmap" and "scan" need none."""
    return {
        "x64": lambda: jax.enable_x64(True),
        "strict": lambda: jax.numpy_dtype_promotion("strict"),
        "rank": lambda: jax.numpy_rank_promotion("raise"),
        "eager": jax.disable_jit,
        "nans": lambda: jax.debug_nans(True),
        "leaks": jax.checking_leaks,
    }.get(flag, contextlib.nullcontext)()


def run(flag, fn, *args):
    """The result of `fn(*args)` under a flag, without the axis that "vmap" and "scan" add."""
    with under(flag):
        if flag == "eager":
            return fn(*args)
        if flag == "vmap":
            return first(jax.jit(jax.vmap(fn))(*twice(args)))
        if flag == "scan":
            body = lambda carry, row: (carry, fn(*row))
            return first(jax.jit(lambda rows: jax.lax.scan(body, 0, rows)[1])(twice(args)))
        return jax.jit(fn)(*args)


def twice(args):
    return jax.tree.map(lambda x: jnp.stack([jnp.asarray(x)] * 2), args)


def first(out):
    return jax.tree.map(lambda x: x[0], out)


def assert_same(flag, fn, *args, exact=True, atol=1e-6):
    """The flag changes no type and no value; floats to rounding, or `exact=False`: types only."""
    want, got = run("plain", fn, *args), run(flag, fn, *args)
    assert jax.tree.structure(want) == jax.tree.structure(got)
    for one, other in zip(jax.tree.leaves(want), jax.tree.leaves(got), strict=True):
        assert jnp.shape(one) == jnp.shape(other)
        assert jnp.asarray(one).dtype == jnp.asarray(other).dtype, flag
        if not exact:
            continue
        if jnp.issubdtype(jnp.asarray(one).dtype, jnp.floating):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=atol)
        else:
            np.testing.assert_array_equal(one, other)
