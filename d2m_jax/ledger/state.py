"""The ledger as arrays of fixed capacity: accounts, registry, jobs. Integers only.

What is in units is money: int32, or int64 in a ledger that was made in a program with 64 bits. All
else is int32. Every transition keeps the types of the ledger that it is given.

No transition is here; each has its own file. Read next: `accounts.py`, then `auction.py`.
"""

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from d2m_jax.core.money import BPS, largest, money_type, total, units
from d2m_jax.core.types import Number
from d2m_jax.ledger.codes import Phase
from d2m_jax.ledger.rules import Rules

MAX_WEIGHT = 2**15  # largest payment weight of one seller
MAX_SELLERS = 65_535  # so that a sum of weights stays below 2**31
NOBODY = -1


class Layout(NamedTuple):
    """Who owns which account: buyers, then sellers, then nodes, then the treasury.

    The treasury gets the fees and may do what every account may. Roles are disjoint accounts, so a
    buyer is never a seller of its own job. Of the units of a job the last one is its verification,
    all others are rounds.
    """

    num_buyers: int
    num_sellers: int
    num_nodes: int
    num_jobs: int = 1
    num_units: int = 21

    @property
    def num_accounts(self) -> int:
        """A = B + N + C + 1."""
        return self.num_buyers + self.num_sellers + self.num_nodes + 1

    @property
    def treasury(self) -> int:
        """Account where fees go."""
        return self.num_accounts - 1

    @property
    def buyers(self) -> slice:
        """Accounts of the buyers."""
        return slice(0, self.num_buyers)

    @property
    def sellers(self) -> slice:
        """Accounts of the sellers."""
        return slice(self.num_buyers, self.num_buyers + self.num_sellers)

    @property
    def nodes(self) -> slice:
        """Accounts of the compute nodes."""
        return slice(self.num_buyers + self.num_sellers, self.num_accounts - 1)

    def seller(self, index: int | jax.Array) -> int | jax.Array:
        """Account of seller `index`."""
        return self.num_buyers + index

    def node(self, index: int | jax.Array) -> int | jax.Array:
        """Account of compute node `index`."""
        return self.num_buyers + self.num_sellers + index

    @property
    def payload_size(self) -> int:
        """Length of the vector that an action carries: seats [C], or a content [2 N + 5]."""
        return max(self.num_nodes, 2 * self.num_sellers + 5)


@struct.dataclass
class Jobs:
    """The job slots; one row of it (no leading J) is one job."""

    phase: jax.Array  # [J] int32, see Phase
    since: jax.Array  # [J] int32, block of the last progress: windows count from here
    serial: jax.Array  # [J] int32 number of the latest request for a unit, never falls
    tags: jax.Array  # [J] int32 bitmask asked for
    # bids, one column per buyer; from the close on they only tell what was bid
    bids: jax.Array  # [J, B] units each buyer's own highest or revealed bid, 0 none
    deposits: jax.Array  # [J, B] units money held for the bids, 0 from the close on
    seals: jax.Array  # [J, B] int32 commitments of sealed bids, 0 none
    taus: jax.Array  # [J, B] int32 threshold that goes with the bid, basis points
    models: jax.Array  # [J, B] int32 digest of the model asked for
    metrics: jax.Array  # [J, B] int32 digest of the metric, with its examples
    # the electorate, fixed before anybody knows what is drawn
    offered: jax.Array  # [J, C] units, not yet money: what each node will pledge
    frozen: jax.Array  # [J] bool, a bid was revealed: what is offered is fixed
    # the request of the winner, fixed at the close
    buyer: jax.Array  # [J] int32 leader of an ascending auction, then the winner; -1 nobody
    tau_bps: jax.Array  # [J] int32 threshold on the metric
    model: jax.Array  # [J] int32 digest
    metric: jax.Array  # [J] int32 digest
    metric_bps: jax.Array  # [J] int32 as verified
    base_bps: jax.Array  # [J] int32 metric of the initial model, as verified
    price: jax.Array  # [J] units, 0 until the auction is closed
    # money held for the job
    seller_pool: jax.Array  # [J] units
    compute_pool: jax.Array  # [J] units
    fee_pool: jax.Array  # [J] units
    bond: jax.Array  # [J] units
    forfeited: jax.Array  # [J] units, what the guilty lost and nobody has got yet
    locked: jax.Array  # [J, N] units, deposits of sellers pledged to the job
    pledged: jax.Array  # [J, C] units, stakes of nodes pledged to the job
    held: jax.Array  # [J, C] units, slashed from the pledge, waits for the end of the job
    earned: jax.Array  # [J, C] units, rewards of units, wait for the end of the job
    # training and verification
    matched: jax.Array  # [J, N] bool
    excluded: jax.Array  # [J, N] bool, evidence of harm: paid nothing
    weights: jax.Array  # [J, N] int32 payment weights in [0, MAX_WEIGHT]
    round: jax.Array  # [J] int32 rounds booked
    results: jax.Array  # [J, U] int32 accepted digest of each unit, 0 none
    papers: jax.Array  # [J, U, C] int32 digest that each node revealed in its vote, 0 none
    opened: jax.Array  # [J] bool, the buyer has opened its examples
    spoilt: jax.Array  # [J] bool, a round was overturned
    released: jax.Array  # [J] bool, the price is paid and so the model is the buyer's
    # dispute
    disputer: jax.Array  # [J] int32 account, -1 nobody
    disputed_unit: jax.Array  # [J] int32, -1 none
    ruled: jax.Array  # [J] int32 block in which the court closed the latest case, -1 none
    ruling: jax.Array  # [J] int32 digest of the content that has won it, 0 none
    stood: jax.Array  # [J] bool, the claim that stood there by right has won it
    proven: jax.Array  # [J] bool, or a step was judged there by which it is wrong
    finder: jax.Array  # [J] int32 account that made the claim that has won it, -1 nobody
    # the account of the job: price + compensation = paid (three ways) + refunded, in the end
    compensation: jax.Array  # [J] units slashed stake that was not burned
    compute_paid: jax.Array  # [J] units to nodes, rewards and compensation, and to disputers
    seller_paid: jax.Array  # [J] units
    fee_paid: jax.Array  # [J] units
    refunded: jax.Array  # [J] units to the buyer, of the price and of what was forfeited


@struct.dataclass
class Ledger:
    """All money and all promises of one market; a pytree that vmaps over worlds."""

    block: jax.Array  # [] int32
    burned: jax.Array  # [] units
    supply: jax.Array  # [] units, constant
    # per account; a stake is the deposit of a seller or the stake of a node
    balances: jax.Array  # [A] units
    stakes: jax.Array  # [A] units
    exits: jax.Array  # [A] units part of the stake asked back
    exit_blocks: jax.Array  # [A] int32 when it was asked back
    registered: jax.Array  # [A] bool
    banned: jax.Array  # [A] bool
    # per seller
    tags: jax.Array  # [N] int32 bitmask of what the data is
    sizes: jax.Array  # [N] int32 number of examples
    commitments: jax.Array  # [N] int32 digest of the data
    asks: jax.Array  # [N] units least seller pool of a job for which it works
    max_taus: jax.Array  # [N] int32 highest threshold that it accepts, basis points
    reputation_bps: jax.Array  # [N] int32
    jobs: Jobs
    num_nodes: int = struct.field(pytree_node=False)

    def units(self, value: Any) -> jax.Array:
        """Any whole number as money of this ledger; see `core.money.units`."""
        return units(value, self.balances.dtype)

    @property
    def layout(self) -> Layout:
        """The account layout, read off the (unbatched) shapes."""
        num_jobs, num_sellers = self.jobs.locked.shape
        num_units = self.jobs.results.shape[1]
        return Layout(
            num_buyers=self.balances.shape[0] - num_sellers - self.num_nodes - 1,
            num_sellers=num_sellers,
            num_nodes=self.num_nodes,
            num_jobs=num_jobs,
            num_units=num_units,
        )


Result: TypeAlias = tuple[Ledger, jax.Array]  # of a transition: after it, and the receipt [] int32


BY_BUYER = ("bids", "deposits", "seals", "taus", "models", "metrics")  # fields [J, B] of `Jobs`
BY_NODE = ("offered", "pledged", "held", "earned")  # fields [J, C]
POOLS = ("seller_pool", "compute_pool", "fee_pool")  # fields [J]
MONEY = (*POOLS, "bond", "forfeited", "locked", "pledged", "held", "earned")  # of a job that runs
PAID = ("compensation", "compute_paid", "seller_paid", "fee_paid", "refunded")  # fields [J]
UNITS = (*MONEY, *PAID, "bids", "deposits", "offered", "price")  # all fields in units
BY_SELLER = ("locked", "weights")  # fields [J, N]
MARKS = ("matched", "excluded")  # fields [J, N] bool
FLAGS = ("frozen", "opened", "spoilt", "released", "stood", "proven")  # fields [J] bool
NAMES = (
    "buyer",
    "disputer",
    "disputed_unit",
    "ruled",
    "finder",
)  # fields [J], -1 where there is none


def empty_jobs(layout: Layout, kind: Any = None) -> Jobs:
    """All slots idle, with money of that type, by default of `money_type`."""
    jobs, money = layout.num_jobs, kind or money_type()

    def zeros(names: tuple[str, ...], *size: int) -> dict[str, jax.Array]:
        return {
            name: jnp.zeros((jobs, *size), money if name in UNITS else jnp.int32) for name in names
        }

    numbers = {
        **zeros(tuple(Jobs.__dataclass_fields__)),
        **zeros(BY_BUYER, layout.num_buyers),
        **zeros(BY_NODE, layout.num_nodes),
        **zeros(BY_SELLER, layout.num_sellers),
        **zeros(("results",), layout.num_units),
        **zeros(("papers",), layout.num_units, layout.num_nodes),
    }
    marks = jnp.zeros((jobs, layout.num_sellers), bool)
    return Jobs(
        **numbers
        | dict.fromkeys(MARKS, marks)
        | dict.fromkeys(FLAGS, jnp.zeros(jobs, bool))
        | dict.fromkeys(NAMES, jnp.full(jobs, NOBODY, jnp.int32))
        | {"phase": jnp.full(jobs, int(Phase.IDLE), jnp.int32)}
    )


def rounds_of(of: Ledger | Jobs, rules: Rules) -> jax.Array:
    """[] int32: R, the rounds of a job: `rules.num_rounds`, and at most U - 1.

    Units 0 .. R - 1 are rounds, R is the verification, R + 1 + u the dispute of unit u.
    """
    jobs = of.jobs if isinstance(of, Ledger) else of
    return jnp.minimum(rules.num_rounds, jobs.results.shape[-1] - 1)


def check_supply(*funds: object) -> None:
    """Checks on the host that all the money there is fits into the type of new money.

    Args:
        funds: arrays of integer units, one per role.

    Raises:
        ValueError: a negative or fractional fund, or a total of 2**31 or more, in a program with
            64 bits of 2**63.
    """
    arrays = [np.atleast_1d(np.asarray(fund)).astype(object) for fund in funds]
    if any((a % 1 != 0).any() for a in arrays):
        raise ValueError("funds must be whole numbers of units")
    if any((a < 0).any() for a in arrays):
        raise ValueError("funds must not be negative")
    supply, bits = sum(int(a.sum()) for a in arrays), largest().bit_length()
    if supply > largest():
        more = "" if bits > 31 else ", or set JAX_ENABLE_X64=1"
        raise ValueError(
            f"the money supply is {supply} units but must stay below 2**{bits} = {2**bits}: lower "
            f"the funds or choose a larger unit{more}"
        )


def new_ledger(
    layout: Layout,
    *,
    buyer_funds: Number | np.ndarray,
    seller_funds: Number | np.ndarray,
    node_funds: Number | np.ndarray,
    treasury_funds: Number = 0,
    reputation_bps: Number | np.ndarray = BPS // 2,
) -> Ledger:
    """A ledger at block 0 in which nobody is registered and every slot is idle.

    Funds that are traced cannot be checked here: call `check_supply` on the host before. A supply
    that wraps all the same is found afterwards: it is never `conserved` (`audit.invariants`).

    Args:
        layout: how many of each role.
        buyer_funds: [B] or [] integer units of each buyer.
        seller_funds: [N] or [] integer units of each seller.
        node_funds: [C] or [] integer units of each node.
        treasury_funds: [] integer units of the treasury.
        reputation_bps: [N] or [] first reputation of the sellers.

    Raises:
        ValueError: impossible layout or funds.
    """
    is_short = layout.num_jobs < 1 or layout.num_units < 2
    if min(layout) < 0 or is_short or layout.num_sellers > MAX_SELLERS:
        raise ValueError(
            f"impossible layout {layout}: at least one job of two units, at most {MAX_SELLERS} "
            "sellers"
        )
    parts = [
        (buyer_funds, layout.num_buyers),
        (seller_funds, layout.num_sellers),
        (node_funds, layout.num_nodes),
        (treasury_funds, 1),
    ]
    known = [part for part in parts if not isinstance(part[0], jax.core.Tracer)]
    check_supply(*(np.broadcast_to(np.asarray(fund), (size,)) for fund, size in known))
    balances = jnp.concatenate([jnp.broadcast_to(units(fund), (size,)) for fund, size in parts])
    num_accounts, num_sellers = layout.num_accounts, layout.num_sellers
    money, per_account = jnp.zeros_like(balances), jnp.zeros(num_accounts, jnp.int32)
    per_seller = jnp.zeros(num_sellers, jnp.int32)
    return Ledger(
        block=jnp.int32(0),
        burned=units(0),
        supply=total(balances),
        balances=balances,
        stakes=money,
        exits=money,
        exit_blocks=per_account,
        registered=jnp.zeros(num_accounts, bool),
        banned=jnp.zeros(num_accounts, bool),
        tags=per_seller,
        sizes=per_seller,
        commitments=per_seller,
        asks=jnp.zeros(num_sellers, balances.dtype),
        max_taus=per_seller,
        reputation_bps=jnp.broadcast_to(jnp.asarray(reputation_bps, jnp.int32), (num_sellers,)),
        jobs=empty_jobs(layout),
        num_nodes=layout.num_nodes,
    )
