"""Gas of the actions, measured on the smart contract: a table, and what a simulator reports of it.

Gas is counted beside the ledger, never inside it: it is paid in ether to the validators of the
chain, not in units of the market, so the invariants of money do not know it. The table is what
`python scripts/gas_report.py --fit` prints (contracts/D2MMarket.vy, fork Prague).
"""

import jax
import jax.numpy as jnp

from d2m_jax.ledger.accounts import integer
from d2m_jax.ledger.codes import Kind, Reason
from d2m_jax.ledger.machine import Action
from d2m_jax.ledger.state import Layout

FEATURES = (
    *("fixed", "per seller", "per matched seller", "per node", "per drawn node"),
    *("per buyer", "per bidder"),
)

# In the steady state: every storage slot that is kept has been used by an earlier job. A bid raises
# the buyer's own, a seal joins others, a dispute is upheld, a metric reaches tau.
GAS: dict[Kind, tuple[int, int, int, int, int, int, int]] = {
    Kind.WAIT: (0, 0, 0, 0, 0, 0, 0),
    Kind.REGISTER_SELLER: (62276, 0, 0, 0, 0, 0, 0),
    Kind.REGISTER_NODE: (32685, 0, 0, 0, 0, 0, 0),
    Kind.TOP_UP: (32822, 0, 0, 0, 0, 0, 0),
    Kind.REQUEST_WITHDRAWAL: (31875, 0, 0, 0, 0, 0, 0),
    Kind.WITHDRAW: (31986, 0, 0, 0, 0, 0, 0),
    Kind.BAN: (33741, 0, 0, 0, 0, 0, 0),
    Kind.SET_ASK: (37283, 0, 0, 0, 0, 0, 0),
    Kind.BID: (55021, 0, 0, 0, 0, 0, 0),
    Kind.SEAL: (87611, 0, 0, 0, 0, 0, 0),
    Kind.REVEAL: (89749, 0, 0, 0, 0, 0, 0),
    Kind.CLOSE_AUCTION: (85664, 5550, 26272, 6228, 0, 2514, 8492),
    Kind.SETTLE_ROUND: (50190, 0, 0, 635, 8577, 0, 0),
    Kind.RATE_SELLERS: (38799, 378, 8190, 0, 0, 0, 0),
    Kind.SLASH_SELLER: (59445, 0, 0, 0, 0, 0, 0),
    Kind.REPORT_METRIC: (39815, 2751, 3164, 0, 0, 0, 0),
    Kind.OPEN_DISPUTE: (73035, 0, 0, 0, 0, 0, 0),
    Kind.RESOLVE_DISPUTE: (56428, 3604, 8511, 9919, 968, 0, 0),
    Kind.SETTLE: (85189, 2994, 9547, 8723, 0, 0, 0),
    Kind.TIME_OUT: (66214, 2645, 7282, 8799, 721, 0, 0),
    Kind.RESET_JOB: (33992, 1945, 2167, 1940, 0, 1824, 14463),
    Kind.TAKE: (38433, 0, 0, 0, 0, 0, 0),
    Kind.OPEN_METRIC: (41602, 0, 0, 0, 0, 0, 0),
}
FIRST_DRAWN = 17814  # for each node: the first time that it is drawn for a job opens a storage slot
OPENING_SEAL = 20156  # a seal that opens an auction costs more than a later one, with one slot
FIRST_BID = 58642  # a buyer's first open bid costs more than one that raises it
OPENING_BID = 17773  # and still more if it opens the auction
SLOT = 2294  # and more with each further slot, whose tags it reads (SET_ASK does, too)
REFUSED = 31990  # a refused action is a transaction too
# One that carries a vector costs at least the floor of its calldata (EIP-7623), refused or not.
CALLDATA, ENTRY = 22180, 350


def gas_of(
    kind: int | jax.Array,
    *,
    num_sellers: int | jax.Array = 0,
    num_matched: int | jax.Array | None = None,
    num_nodes: int | jax.Array = 0,
    num_drawn: int | jax.Array | None = None,
    num_buyers: int | jax.Array = 0,
    num_bidders: int | jax.Array | None = None,
) -> jax.Array:
    """Gas of one accepted action: a linear form in the size of the market.

    Formula: fixed + a N + b N_matched + c C + d C_drawn + e U + f U_bidding, fitted to the contract
    (see `GAS`). The contract itself ends at 256 buyers, 256 sellers and 1024 nodes; beyond that the
    form is an extrapolation.

    Args:
        kind: [...] int32, see `Kind`; an unknown one costs what a refusal costs.
        num_sellers: [...] int32 sellers of the layout.
        num_matched: [...] int32 sellers matched with the job; None: all.
        num_nodes: [...] int32 nodes of the layout.
        num_drawn: [...] int32 nodes with an outcome in the round, or a finding; None: all.
        num_buyers: [...] int32 buyers of the layout.
        num_bidders: [...] int32 buyers that bid for the job; None: all.

    Returns:
        [...] int32 gas.
    """
    kind = integer(kind)
    matched = num_sellers if num_matched is None else num_matched
    drawn = num_nodes if num_drawn is None else num_drawn
    bidders = num_buyers if num_bidders is None else num_bidders
    sizes = (1, num_sellers, matched, num_nodes, drawn, num_buyers, bidders)
    counts = [integer(x) for x in sizes]
    rows = jnp.asarray([GAS[k] for k in Kind], jnp.int32)[jnp.clip(kind, 0, len(Kind) - 1)]
    gas = sum((rows[..., i] * count for i, count in enumerate(counts)), start=jnp.int32(0))
    return jnp.where((kind >= 0) & (kind < len(Kind)), gas, REFUSED)


def gas_of_refusal(
    kind: int | jax.Array, *, num_sellers: int | jax.Array = 0, num_nodes: int | jax.Array = 0
) -> jax.Array:
    """[...] int32: gas of a refused action, to about 8 % where it carries a vector.

    Formula: max(REFUSED, CALLDATA + ENTRY * entries) for the kinds that carry one entry per node
    (SETTLE_ROUND, RESOLVE_DISPUTE) or per seller (RATE_SELLERS, REPORT_METRIC); else REFUSED. A
    refusal before storage is read costs less.
    """
    kind = integer(kind)
    by_nodes = (kind == Kind.SETTLE_ROUND) | (kind == Kind.RESOLVE_DISPUTE)
    by_sellers = (kind == Kind.RATE_SELLERS) | (kind == Kind.REPORT_METRIC)
    entries = jnp.where(by_nodes, num_nodes, jnp.where(by_sellers, num_sellers, 0))
    return jnp.maximum(REFUSED, CALLDATA + ENTRY * entries)


def gas_of_round(**size: int | jax.Array) -> jax.Array:
    """[] int32: one round (not the first), settled and rated. Arguments as for `gas_of`."""
    return gas_of(Kind.SETTLE_ROUND, **size) + gas_of(Kind.RATE_SELLERS, **size)


def gas_of_job(
    num_rounds: int | jax.Array, *, num_bids: int | jax.Array = 2, **size: int | jax.Array
) -> jax.Array:
    """[] int32: a job from its sealed bids to the cleared slot, without a dispute.

    One slot, at least one round and one bid; every bid is revealed, and as many different nodes are
    drawn as there can be.

    Args:
        num_rounds: rounds settled.
        num_bids: buyers that bid; no others have a seat if `num_buyers` is not said.
        size: as for `gas_of`.
    """
    size = {"num_buyers": num_bids, **size, "num_bidders": num_bids}
    once = (Kind.CLOSE_AUCTION, Kind.REPORT_METRIC, Kind.SETTLE, Kind.RESET_JOB)
    gas = num_bids * (gas_of(Kind.SEAL, **size) + gas_of(Kind.REVEAL, **size)) + OPENING_SEAL
    nodes = size.get("num_nodes", 0)
    drawn = jnp.minimum(num_rounds * integer(size.get("num_drawn", nodes)), nodes)
    gas += num_rounds * gas_of_round(**size) + FIRST_DRAWN * drawn
    return gas + sum((gas_of(kind, **size) for kind in once), start=jnp.int32(0))


def gas_spent(
    layout: Layout,
    actions: Action,
    receipts: jax.Array,
    *,
    num_matched: int | jax.Array | None = None,
) -> jax.Array:
    """What every account has paid for a trace of actions, refused ones included.

    Waiting costs nothing, and who is no account is not billed. Every round counts as a later one,
    every bid as one that raises the buyer's own, every buyer as a bidder.
    How many nodes were drawn, or have a finding, is read off the payload.

    Args:
        layout: the accounts.
        actions: an Action whose leaves carry a leading axis [S].
        receipts: [S] int32, from `run_trace`.
        num_matched: [] or [S] sellers matched with the job; None: all.

    Returns:
        [A] float32 gas (a total may pass 2**31).
    """
    named = jnp.sum(actions.payload[:, : layout.num_nodes] != 0, axis=1, dtype=jnp.int32)
    accepted = gas_of(
        actions.kind,
        num_sellers=layout.num_sellers,
        num_matched=num_matched,
        num_nodes=layout.num_nodes,
        num_drawn=named,
        num_buyers=layout.num_buyers,
    )
    size = {"num_sellers": layout.num_sellers, "num_nodes": layout.num_nodes}
    gas = jnp.where(receipts == Reason.OK, accepted, gas_of_refusal(actions.kind, **size))
    gas = jnp.where(actions.kind == Kind.WAIT, 0, gas).astype(jnp.float32)
    paid_by = actions.actor[:, None] == jnp.arange(layout.num_accounts, dtype=jnp.int32)[None]
    return jnp.sum(jnp.where(paid_by, gas[:, None], 0.0), axis=0)
