"""What the room exports, and that opening its door loads no slow library."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np

from d2m_jax import incentives


def test_shapley_banzhaf_and_regret_are_at_the_door():
    for name in incentives.__all__:
        assert getattr(incentives, name) is not None
    game = jnp.array([0.0, 1.0, 1.0, 4.0])
    np.testing.assert_allclose(incentives.shapley(game), [2, 2])
    np.testing.assert_allclose(incentives.banzhaf(game), [2, 2])
    assert incentives.regret(np.array([[1.0, 2.0], [0.0, 1.0]])).value == -1


def test_the_rooms_of_votes_and_pay_load_no_statistics():
    code = (
        "import sys, types, pathlib, importlib\n"
        "root = types.ModuleType('d2m_jax')\n"
        f"root.__path__ = [{incentives.__path__[0]!r} + '/..']\n"
        "sys.modules['d2m_jax'] = root\n"  # the rooms alone, without the whole package
        "for room in ('cone', 'incentives', 'ledger', 'privacy'):\n"
        "    importlib.import_module('d2m_jax.' + room)\n"
        "slow = {'scipy.stats', 'sklearn', 'pandas', 'dp_accounting'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
