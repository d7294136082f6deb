"""Gas of the actions, measured on the contracts: a table, and what a simulator reports of it.

Gas is counted beside the ledger, never inside it: it is paid in ether to the validators of the
chain, not in units of the market, so the invariants of money do not know it. The table is what
`python scripts/gas_report.py --fit` prints (contracts/D2MMarket.vy, D2MJobs.vy, D2MVotes.vy, fork
Prague). Read next: `votes_gas.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.ledger.accounts import integer
from d2m_jax.ledger.actions import Action
from d2m_jax.ledger.codes import Kind, Reason
from d2m_jax.ledger.state import Layout

FEATURES = (
    *("fixed", "per seller", "per matched seller", "per node", "per drawn node"),
    *("per buyer", "per bidder"),
)

# In the steady state: every storage slot that is kept has been used by an earlier job, and nodes
# have been drawn before. A bid raises the buyer's own, seals and reveals join others, a dispute
# overturns a round, a metric reaches tau, all who are drawn vote in one set. A case is as short as
# can be: a level of its tree adds a word of calldata and a hash to its booking.
GAS: dict[Kind, tuple[int, int, int, int, int, int, int]] = {
    Kind.WAIT: (0, 0, 0, 0, 0, 0, 0),
    Kind.REGISTER_SELLER: (62152, 0, 0, 0, 0, 0, 0),
    Kind.REGISTER_NODE: (32548, 0, 0, 0, 0, 0, 0),
    Kind.TOP_UP: (32686, 0, 0, 0, 0, 0, 0),
    Kind.REQUEST_WITHDRAWAL: (31637, 0, 0, 0, 0, 0, 0),
    Kind.WITHDRAW: (31726, 0, 0, 0, 0, 0, 0),
    Kind.SET_ASK: (37818, 0, 0, 0, 0, 0, 0),
    Kind.BID: (49731, 0, 0, 0, 0, 0, 0),
    Kind.SEAL: (82368, 0, 0, 0, 0, 0, 0),
    Kind.REVEAL: (90161, 0, 0, 0, 0, 0, 0),
    Kind.CLOSE_AUCTION: (49722, 2631, 28815, 12041, 0, 2514, 8492),
    Kind.BOOK_ROUND: (74684, 413, 8196, 874, 12607, 0, 0),
    Kind.BOOK_VERIFICATION: (88244, 2454, 3493, 874, 13401, 0, 0),
    Kind.OPEN_DISPUTE: (68779, 0, 0, 0, 0, 0, 0),
    Kind.BOOK_DISPUTE: (116945, 0, 0, 2782, 19959, 0, 0),
    Kind.SETTLE: (107795, 4216, 9322, 10913, 0, 0, 0),
    Kind.TIME_OUT: (91921, 3086, 7036, 11617, 0, 0, 0),
    Kind.RESET_JOB: (27571, 1860, 2240, 0, 0, 1792, 14598),
    Kind.TAKE: (36024, 0, 0, 0, 0, 0, 0),
    Kind.OPEN_METRIC: (39208, 0, 0, 0, 0, 0, 0),
    Kind.CLOSE_CASE: (44259, 0, 0, 0, 0, 0, 0),
    Kind.BOOK_CASE: (159643, 1665, 0, 1734, 12004, 0, 0),
    Kind.OPEN_UNIT: (63426, 0, 0, 5588, 376, 0, 0),
    Kind.DRAW: (65802, 0, 0, 1208, 8344, 0, 0),
    Kind.COMMIT_VOTE: (46278, 0, 0, 0, 0, 0, 0),
    Kind.REVEAL_VOTE: (66911, 0, 0, 0, 0, 0, 0),
    Kind.TALLY: (44746, 0, 0, 0, 0, 0, 0),
    Kind.OPEN_CONTENT: (50243, 0, 0, 0, 0, 0, 0),
}
NEW_DIGEST = 16040  # and more for who reveals a digest first
# One round, voted on and booked, in the `FEATURES`: what `gas_of_round` computes, for the host.
ROUND: tuple[int, ...] = tuple(
    sum(costs)
    for costs in zip(
        (NEW_DIGEST, 0, 0, 0, GAS[Kind.COMMIT_VOTE][0] + GAS[Kind.REVEAL_VOTE][0], 0, 0),
        *(GAS[k] for k in (Kind.OPEN_UNIT, Kind.DRAW, Kind.TALLY, Kind.OPEN_CONTENT)),
        GAS[Kind.BOOK_ROUND],
        strict=True,
    )
)
NEW_NODE = 34_200  # and more for a node that was never drawn in the slot: two storage slots
OPENING_SEAL = 3601  # a seal that opens an auction costs more than a later one, with one slot
FREEZE = (3409, 5358)  # the first reveal of a job costs more: fixed, and per node of the layout
FIRST_BID = 58642  # a buyer's first open bid costs more than one that raises it
OPENING_BID = 1222  # and still more if it opens the auction
SLOT = 2843  # and more with each further slot, whose tags it reads (SET_ASK does, too)
REFUSED = 30280  # a refused action is a transaction too
# One that carries the papers of a unit costs at least the floor of its calldata (EIP-7623).
CALLDATA, PAPER = 21660, 1630


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

    Formula: fixed + a N + b N_matched + c C + d C_drawn + e B + f B_bidding, fitted to the
    contracts (see `GAS`). They end at 256 buyers, 256 sellers and 1024 nodes; beyond that the form
    is an extrapolation.

    Args:
        kind: [...] int32, see `Kind`; an unknown one costs what a refusal costs.
        num_sellers: [...] int32 sellers of the layout.
        num_matched: [...] int32 sellers matched with the job; None: all.
        num_nodes: [...] int32 nodes of the layout.
        num_drawn: [...] int32 nodes that vote on the unit; None: all.
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


def gas_of_refusal(kind: int | jax.Array, *, num_drawn: int | jax.Array = 0) -> jax.Array:
    """[...] int32: gas of a refused action; sooner less, later more (a booking up to 90,000).

    Formula: REFUSED, and for BOOK_DISPUTE, which carries the papers of the disputed unit,
    max(REFUSED, CALLDATA + PAPER * papers).
    """
    papers = jnp.where(integer(kind) == Kind.BOOK_DISPUTE, num_drawn, 0)
    return jnp.maximum(REFUSED, CALLDATA + PAPER * papers)


def gas_of_vote_on_unit(**size: int | jax.Array) -> jax.Array:
    """[...] int32: all transactions of the vote on one unit, in one set in which all agree.

    Formula: open + draw + drawn (commit + reveal) + tally + content. Arguments as for `gas_of`.
    """
    once = (Kind.OPEN_UNIT, Kind.DRAW, Kind.TALLY, Kind.OPEN_CONTENT)
    drawn = size.get("num_drawn", size.get("num_nodes", 0))
    ballot = gas_of(Kind.COMMIT_VOTE) + gas_of(Kind.REVEAL_VOTE)
    fixed = sum((gas_of(kind, **size) for kind in once), start=jnp.int32(NEW_DIGEST))
    return fixed + integer(drawn) * ballot


def gas_of_round(**size: int | jax.Array) -> jax.Array:
    """[...] int32: one round, voted on and booked. Arguments as for `gas_of`."""
    return gas_of_vote_on_unit(**size) + gas_of(Kind.BOOK_ROUND, **size)


def gas_of_job(
    num_rounds: int | jax.Array, *, num_bids: int | jax.Array = 2, **size: int | jax.Array
) -> jax.Array:
    """[] int32: a job from its sealed bids to the cleared slot, without a dispute.

    One slot, at least one round and one bid; every bid is revealed, every vote takes one set.

    Args:
        num_rounds: rounds that are voted on; then the verification is.
        num_bids: buyers that bid; no others have a seat if `num_buyers` is not said.
        size: as for `gas_of`.
    """
    size = {"num_buyers": num_bids, **size, "num_bidders": num_bids}
    gas = num_bids * (gas_of(Kind.SEAL, **size) + gas_of(Kind.REVEAL, **size)) + OPENING_SEAL
    gas += FREEZE[0] + FREEZE[1] * integer(size.get("num_nodes", 0))
    gas += num_rounds * gas_of_round(**size) + gas_of_vote_on_unit(**size)
    once = (Kind.CLOSE_AUCTION, Kind.OPEN_METRIC, Kind.BOOK_VERIFICATION, Kind.SETTLE)
    kinds = (*once, Kind.RESET_JOB)
    return gas + sum((gas_of(kind, **size) for kind in kinds), start=jnp.int32(0))


def gas_spent(
    layout: Layout,
    actions: Action,
    receipts: jax.Array,
    *,
    num_matched: int | jax.Array | None = None,
    num_drawn: int | jax.Array | None = None,
) -> jax.Array:
    """What every account has paid for a trace of actions, refused ones included.

    Waiting costs nothing, and who is no account is not billed. Every bid counts as one that raises
    the buyer's own, every buyer as a bidder. How many nodes a DRAW seats is read off its payload.

    Args:
        layout: the accounts.
        actions: an Action whose leaves carry a leading axis [S].
        receipts: [S] int32, from `run_trace`.
        num_matched: [] or [S] sellers matched with the job; None: all.
        num_drawn: [] or [S] nodes that voted on the unit that is booked; None: all.

    Returns:
        [A] float32 gas (a total may pass 2**31).
    """
    seats = jnp.sum(actions.payload[:, : layout.num_nodes] != 0, axis=1, dtype=jnp.int32)
    voters = integer(layout.num_nodes if num_drawn is None else num_drawn)
    drawn = jnp.where(actions.kind == Kind.DRAW, seats, voters)
    accepted = gas_of(
        actions.kind,
        num_sellers=layout.num_sellers,
        num_matched=num_matched,
        num_nodes=layout.num_nodes,
        num_drawn=drawn,
        num_buyers=layout.num_buyers,
    )
    refused = gas_of_refusal(actions.kind, num_drawn=drawn)
    gas = jnp.where(receipts == Reason.OK, accepted, refused)
    gas = jnp.where(actions.kind == Kind.WAIT, 0, gas).astype(jnp.float32)
    paid_by = actions.actor[:, None] == jnp.arange(layout.num_accounts, dtype=jnp.int32)[None]
    return jnp.sum(jnp.where(paid_by, gas[:, None], 0.0), axis=0)
