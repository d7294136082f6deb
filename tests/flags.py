"""JAX's flags as context managers, and keys of both kinds, for tests that run over a registry."""

import jax

TRACED = {  # whatever is wrong under these shows while a program is traced
    "x64": lambda: jax.enable_x64(True),
    "strict": lambda: jax.numpy_dtype_promotion("strict"),
    "rank": lambda: jax.numpy_rank_promotion("raise"),
    "leaks": jax.checking_leaks,
}
EXECUTED = {"nans": lambda: jax.debug_nans(True), "eager": jax.disable_jit}


def key_of(kind: str, seed: int = 0) -> jax.Array:
    """A typed key, or the uint32 pair of old."""
    return jax.random.key(seed) if kind == "typed" else jax.random.PRNGKey(seed)
