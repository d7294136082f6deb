"""`decide` against the oracle table, hand-made worlds and a plain Python referee."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.cone import ConeParams, decide


@jax.jit
def many(keys, behaviour, params):
    eligible = jnp.ones(behaviour.shape, bool)
    return jax.vmap(lambda key: decide(key, behaviour, eligible, params))(keys)


# C=100, f_max=1/3, beta=1e-3: mean attempts and executions of 50,000 runs (reference notes, 4.3).
ORACLE = [
    (4, 0.0, 2.00, 11.0),
    (4, 0.2, 3.25, 22.4),
    (4, 0.3, 4.01, 33.5),
    (4, 0.4, 5.20, 62.6),
    (8, 0.1, 2.02, 19.2),
    (8, 0.3, 3.04, 32.9),
    (8, 0.4, 4.41, 59.9),
]


@pytest.mark.parametrize(("base", "share", "attempts", "executions"), ORACLE)
def test_attempts_and_executions_match_the_oracle_table(base, share, attempts, executions):
    behaviour = (jnp.arange(100) < round(100 * share)).astype(jnp.int32)
    out = many(jax.random.split(jax.random.key(1), 4000), behaviour, ConeParams(base, 1 / 3, 1e-3))
    assert abs(float(out.attempts.mean()) - attempts) < 0.05
    spread = float(out.executions.std()) / np.sqrt(4000)
    assert abs(float(out.executions.mean()) - executions) < 4 * spread + 0.06
    if share <= 0.3:
        assert int((out.accepted != 0).sum()) == 0
