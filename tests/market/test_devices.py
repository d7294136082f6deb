"""A market over several devices has the ledger of one device."""

import dataclasses
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from d2m_jax import as_arrays
from d2m_jax.market import collect, compiled, copied, over_devices
from tests.conftest import FAST_COMPILATION
from tests.worlds import SPEC, digits, market, numbers, play

HPARAMS = numbers(population={"num_byzantine": 2})


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{}, {"delay": "geometric"}, {"scaffold": True, "local_steps": 2}], ids=str
)
def test_two_devices_leave_the_integers_of_one(changes):
    if jax.local_device_count() < 2:
        pytest.skip("one device only")
    spec = dataclasses.replace(SPEC, **changes)
    both = over_devices(market(spec), jax.local_devices()[:2])
    data = copied(both, digits()[1])
    found = collect(compiled(both), jax.random.key(0), as_arrays(HPARAMS), data)
    alone = play(HPARAMS, spec=spec)
    assert jax.tree.all(jax.tree.map(np.array_equal, found.ledger, alone.ledger))
    np.testing.assert_allclose(found.theta, alone.theta, rtol=1e-4, atol=1e-6)


def test_devices_that_do_not_divide_the_drawn_sellers_are_refused():
    devices = jax.local_devices()[:1]
    with pytest.raises(
        ValueError, match=r"num_sampled = 6 sellers cannot be dealt evenly to 4 dev"
    ):
        over_devices(market(), devices * 4)
    with pytest.raises(ValueError, match=r"to 0 devices"):
        over_devices(market(), [])


@pytest.mark.long
def test_two_hosts_of_three_devices_leave_the_integers_of_one(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    flags = f"--xla_force_host_platform_device_count=3 {FAST_COMPILATION}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.market.two_hosts", port, "2", str(i), str(tmp_path)],
            env={**os.environ, "XLA_FLAGS": flags},
        )
        for i in range(2)
    ]
    assert [process.wait(timeout=1_200) for process in processes] == [0, 0]
    alone = jax.tree.leaves(play(HPARAMS).ledger)
    for i in range(2):
        found = np.load(tmp_path / f"{i}.npz")
        assert found["devices"] == 6
        for j, leaf in enumerate(alone):
            np.testing.assert_array_equal(found[f"arr_{j}"], leaf)
