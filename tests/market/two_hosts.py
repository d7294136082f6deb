"""One of several processes of a market: `python -m tests.market.two_hosts PORT COUNT INDEX OUT`."""

import sys

import jax
import numpy as np

from d2m_jax import as_arrays
from d2m_jax.market import collect, compiled, copied, over_devices
from tests.worlds import SPEC, digits, market, numbers

PEOPLE = {"num_byzantine": 2}


def main(port: str, count: str, index: str, out: str) -> None:
    jax.distributed.initialize(f"localhost:{port}", int(count), int(index))
    spread = over_devices(market(SPEC), jax.devices())
    given = copied(spread, (jax.random.key(0), as_arrays(numbers(population=PEOPLE)), digits()[1]))
    outcome = collect(compiled(spread), *given)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(outcome.ledger)]
    np.savez(f"{out}/{index}.npz", *leaves, devices=jax.device_count())


if __name__ == "__main__":
    main(*sys.argv[1:])
