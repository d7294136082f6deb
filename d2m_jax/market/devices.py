"""One market over several devices, or several hosts: each trains its share of the drawn sellers.

    market = over_devices(make_market(spec, dataset), jax.devices())
    outcome = collect(compiled(market), key, numbers, copied(market, data))

Local training is what a round spends its time on, and the sellers do not meet in it: `shard_map`
deals the drawn sellers out, the updates are gathered, and everything else (defence, votes, ledger)
is computed by every device alike. In all tested runs no whole number differs from those of one
device. Over several hosts call `jax.distributed.initialize` first; every process runs the same
lines.

Not here: many markets over several devices (`sweep/`). Read next: `variants.py`.
"""

from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from d2m_jax.market.engine import Market, market_of

AXIS = "sellers"
T = TypeVar("T")


def over_devices(market: Market, devices: Sequence[jax.Device]) -> Market:
    """The same market, whose drawn sellers train on these devices, as many on each.

    Args:
        market: from `make_market`.
        devices: of all processes; their number divides `spec.num_sampled`.

    Raises:
        ValueError: no devices, or a number that does not divide the drawn sellers.
    """
    spec, count = market.spec, len(devices)
    if count < 1 or spec.num_sampled % count:
        raise ValueError(
            f"num_sampled = {spec.num_sampled} sellers cannot be dealt evenly to {count} devices"
        )
    mesh = Mesh(np.array(devices), (AXIS,))
    return market_of(market.parts._replace(mesh=mesh))


def copied(market: Market, tree: T) -> T:
    """A tree of arrays, the same in every process, as a copy on every device of the market."""
    mesh = market.parts.mesh
    if mesh is None:
        return tree
    everywhere = NamedSharding(mesh, P())

    def copy(leaf: jax.Array) -> jax.Array:
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            bits = copy(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(bits, impl=jax.random.key_impl(leaf))
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, everywhere, lambda index: host[index])

    copies: T = jax.tree.map(copy, tree)
    return copies
