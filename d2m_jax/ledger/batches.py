"""Many alike actions in one step, at the cost of one: whole populations, linear in their number.

Each function is the fold of the single transition over its parties in order, receipts included
(`tests/ledger/test_batches.py`): none of the parties touches what another one reads. A loop of
single transitions copies the ledger at every turn, N^2 units of work. The contract has the single
forms only.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from d2m_jax.core.money import BPS
from d2m_jax.ledger.accounts import (
    add_stakes,
    integer,
    pay_many,
)
from d2m_jax.ledger.codes import Reason
from d2m_jax.ledger.registry import joining_receipt, listing_receipt
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import Ledger, Result


def register_sellers(
    ledger: Ledger,
    rules: Rules,
    *,
    tags: jax.Array,
    sizes: jax.Array,
    commitments: jax.Array,
    deposits: int | jax.Array,
    asks: int | jax.Array = 0,
    max_taus_bps: int | jax.Array = BPS,
) -> Result:
    """Every seller lists its data; see `register_seller`.

    Args:
        ledger: before.
        rules: terms.
        tags: [N] int32 bitmasks.
        sizes: [N] int32 examples.
        commitments: [N] int32 digests of the data.
        deposits: [N] or [] units.
        asks: [N] or [] units, least seller pool for which each works.
        max_taus_bps: [N] or [] int32, highest threshold that each accepts.

    Returns:
        The ledger and the receipts [N] int32; who is refused changes nothing.
    """
    span, tags, sizes = ledger.layout.sellers, integer(tags), integer(sizes)
    actors = jnp.arange(span.start, span.stop, dtype=jnp.int32)
    deposits, asks, max_taus = (
        jnp.broadcast_to(given, actors.shape)
        for given in (ledger.units(deposits), ledger.units(asks), integer(max_taus_bps))
    )
    receipts = listing_receipt(ledger, rules, actors, tags, sizes, deposits, asks, max_taus)
    joins = receipts == Reason.OK
    new = replace(
        _enrol(ledger, span, joins, deposits),
        tags=jnp.where(joins, tags, ledger.tags),
        sizes=jnp.where(joins, sizes, ledger.sizes),
        commitments=jnp.where(joins, integer(commitments), ledger.commitments),
        asks=jnp.where(joins, asks, ledger.asks),
        max_taus=jnp.where(joins, max_taus, ledger.max_taus),
    )
    return new, receipts


def register_nodes(ledger: Ledger, rules: Rules, *, stakes: int | jax.Array) -> Result:
    """Every compute node joins the pool; see `register_node`.

    Args:
        ledger: before.
        rules: terms.
        stakes: [C] or [] units.

    Returns:
        The ledger and the receipts [C] int32; who is refused changes nothing.
    """
    span = ledger.layout.nodes
    actors = jnp.arange(span.start, span.stop, dtype=jnp.int32)
    stakes = jnp.broadcast_to(ledger.units(stakes), actors.shape)
    receipts = joining_receipt(ledger, rules, actors, stakes)
    return _enrol(ledger, span, receipts == Reason.OK, stakes), receipts


def _enrol(ledger: Ledger, span: slice, joins: jax.Array, amounts: jax.Array) -> Ledger:
    """Those of consecutive accounts that join move their amounts from balance to stake."""
    paid = jnp.where(joins, amounts, 0)
    new = add_stakes(pay_many(ledger, span.start, -paid), span.start, paid)
    return replace(new, registered=ledger.registered.at[span].set(ledger.registered[span] | joins))
