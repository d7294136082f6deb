"""What a market is given when it runs, looked at by shape in its first trace: key and data.

Not here: numbers (`validation.py`).
"""

from typing import Any

import jax
import jax.numpy as jnp

from d2m_jax.config.spec import Spec
from d2m_jax.data import FederatedData
from d2m_jax.market.parts import Parts
from d2m_jax.tasks import check_examples


def check_given(parts: Parts, key: Any, data: Any) -> None:
    """Raises a ValueError, one sentence, for a key or data that are not this market's."""
    check_key(key)
    if not isinstance(data, FederatedData):
        raise ValueError(
            f"data must be FederatedData, as deal(dataset, data_spec, num_sellers) gives it, not "
            f"{type(data).__name__}"
        )
    dealt, wanted = data.sizes.shape[-1], parts.spec.num_listings
    check_listings(parts.spec, data)
    if dealt != wanted:
        raise ValueError(
            f"the data are dealt to {dealt} sellers and the market has num_sellers = {wanted}: "
            "deal them to as many"
        )
    check_examples(parts.model, data.pool, data.stats)


def check_listings(spec: Spec, data: FederatedData) -> None:
    """Raises a ValueError, one sentence, for accounts where units sell, or the other way round."""
    if spec.unit_slots and data.units is None:
        raise ValueError(
            "spec.selling is units and the data are dealt to accounts: deal them with "
            "unit_slots=spec.unit_slots"
        )
    if data.units is not None and not spec.unit_slots:
        raise ValueError("the data are cut into units: set spec.selling to units, not to accounts")
    if spec.unit_slots and data.sizes.shape[-1] != spec.unit_slots:
        raise ValueError(
            f"the data have {data.sizes.shape[-1]} slots of units and the market num_units = "
            f"{spec.unit_slots}: cut them into as many"
        )


def check_key(key: Any) -> None:
    """Raises a ValueError, one sentence, for what is no random key."""
    if isinstance(key, jax.Array) and not key.shape:
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            return
    elif hasattr(key, "dtype") and key.dtype == jnp.uint32 and key.ndim == 1:
        return  # of `jax.random.PRNGKey`
    seen = f"{key.dtype} of shape {key.shape}" if hasattr(key, "dtype") else repr(key)
    raise ValueError(f"key must be one random key, such as jax.random.key(0), not {seen}")
