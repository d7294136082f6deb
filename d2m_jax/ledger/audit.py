"""What must hold after every action, whatever the actions were.

`invariants` returns booleans and works inside jit; `assert_valid` raises on the host.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.ledger.codes import NEXT_PHASES, Phase
from d2m_jax.ledger.state import MAX_WEIGHT, NOBODY, Ledger

_LEGAL = np.eye(len(Phase), dtype=bool)
for _before, _after in NEXT_PHASES.items():
    _LEGAL[_before, list(_after)] = True


def total(ledger: Ledger) -> jax.Array:
    """[] int32: all money there is, wherever it lies."""
    jobs = ledger.jobs
    pools = jobs.seller_pool + jobs.compute_pool + jobs.fee_pool + jobs.bond
    of_nodes = jobs.pledged, jobs.held, jobs.earned
    in_jobs = pools, jobs.deposits, jobs.locked, *of_nodes
    parts = [ledger.balances, ledger.stakes, ledger.burned, *in_jobs]
    sums = [part.sum(dtype=jnp.int32) for part in parts]
    return jnp.stack(sums).sum(dtype=jnp.int32)


def fits(ledger: Ledger) -> jax.Array:
    """[] bool: all the money together is below 2**31, so that no sum of it has wrapped.

    A sum of int32 wraps by multiples of 2**32. A supply that wrapped is negative, or the float32
    sum is at least 2**32; its rounding error is far below the 2**30 that are left between.
    """
    jobs = ledger.jobs
    pools = (jobs.seller_pool, jobs.compute_pool, jobs.fee_pool, jobs.bond)
    held = (*pools, jobs.deposits, jobs.locked, jobs.pledged, jobs.held, jobs.earned)
    parts = (ledger.balances, ledger.stakes, ledger.burned, *held)
    about = jnp.stack([part.astype(jnp.float32).sum() for part in parts]).sum()
    return (ledger.supply >= 0) & (about < 3 * 2.0**30)


def wealth(ledger: Ledger) -> jax.Array:
    """[A] int32 units: balance plus stake of every account; also for worlds stacked, [W, A]."""
    return ledger.balances + ledger.stakes


def money_by_role(ledger: Ledger) -> dict[str, jax.Array]:
    """Where the money lies, as [] int32 sums that add up to the supply."""
    layout, jobs = ledger.layout, ledger.jobs
    pools = jobs.seller_pool + jobs.compute_pool + jobs.fee_pool
    return {
        "buyers": ledger.balances[layout.buyers].sum(dtype=jnp.int32),
        "sellers": ledger.balances[layout.sellers].sum(dtype=jnp.int32),
        "nodes": ledger.balances[layout.nodes].sum(dtype=jnp.int32),
        "treasury": ledger.balances[layout.treasury],
        "escrow": (pools.sum() + jobs.deposits.sum() + jobs.earned.sum()).astype(jnp.int32),
        "deposits": ledger.stakes[layout.sellers].sum(dtype=jnp.int32)
        + jobs.locked.sum(dtype=jnp.int32),
        "stakes": ledger.stakes[layout.nodes].sum(dtype=jnp.int32)
        + (jobs.pledged + jobs.held).sum(dtype=jnp.int32),
        "bonds": jobs.bond.sum(dtype=jnp.int32),
        "burned": ledger.burned,
    }


def invariants(ledger: Ledger, before: Ledger | None = None) -> dict[str, jax.Array]:
    """[] bool facts; all are true of every ledger that transitions can reach.

    conserved: balances + stakes + deposits and pledges in jobs (slashed or not) + pools + earned
        rewards + bonds + burned = supply, and the supply fits into int32.
    not_negative: no money, count or weight is below zero.
    idle_is_empty: a job that is idle or finished holds no money and locks no deposit.
    bids_are_covered: in a running auction a buyer's deposit is at least its bid, and there is one
        exactly where there is a bid or a seal; elsewhere no job holds a buyer's deposit.
    pools_equal_price: price + compensation = pools + earned + paid + refunded, from the match on.
    bond_is_disputed: there is a bond, a disputer and an accused exactly while DISPUTED.
    locks_are_matched: only matched sellers have locked deposits, only they have weights.
    leader_is_buyer: an idle job has no buyer, a matched one has; if there is one it is the account
        of a buyer with a bid.
    paid_is_released: a model is released exactly when its job is settled.
    rated_once: no job's sellers are rated more often than it has rounds.
    With `before` (the ledger one action earlier) also:
    legal_phases: each job stayed or took a step of `NEXT_PHASES`.
    one_way: neither the block nor the burned money ever falls.

    Args:
        ledger: to be checked.
        before: the ledger one action earlier.
    """
    jobs, layout = ledger.jobs, ledger.layout
    pools = jobs.seller_pool + jobs.compute_pool + jobs.fee_pool
    locked = jobs.locked.sum(axis=1, dtype=jnp.int32)
    idle = (jobs.phase == Phase.IDLE) | (jobs.phase >= Phase.SETTLED)
    priced = jobs.phase >= Phase.MATCHED
    held = jobs.deposits.sum(axis=1, dtype=jnp.int32)
    has_bid = (jobs.bids > 0) | (jobs.seals != 0)
    is_covered = (jobs.deposits >= jobs.bids) & ((jobs.deposits > 0) == has_bid)
    pledges = (jobs.pledged + jobs.held).sum(axis=1, dtype=jnp.int32)
    earned = jobs.earned.sum(axis=1, dtype=jnp.int32)
    paid = jobs.seller_paid + jobs.compute_paid + jobs.fee_paid + jobs.refunded
    amounts = [
        ledger.block,
        ledger.burned,
        ledger.balances,
        ledger.stakes,
        ledger.exits,
        *(jobs.bids, jobs.deposits, jobs.price, jobs.seller_pool),
        *(jobs.compute_pool, jobs.fee_pool, jobs.bond, jobs.locked, jobs.weights),
        *(jobs.pledged, jobs.held, jobs.earned, jobs.missed, jobs.rated),
        *(jobs.round, jobs.compensation, jobs.compute_paid, jobs.seller_paid),
        *(jobs.fee_paid, jobs.refunded),
    ]
    disputed = jobs.phase == Phase.DISPUTED
    has_bond = (jobs.bond > 0) & (jobs.disputer != NOBODY) & (jobs.accused != NOBODY)
    accounts = jnp.arange(layout.num_buyers, dtype=jnp.int32)
    is_bidder = jnp.any((accounts[None] == jobs.buyer[:, None]) & (jobs.bids > 0), axis=1)
    needs_buyer = (jobs.phase > Phase.AUCTION) & (jobs.phase != Phase.ABORTED)
    may_lack = ~needs_buyer & (jobs.buyer == NOBODY)
    facts = {
        "conserved": (total(ledger) == ledger.supply) & fits(ledger),
        "not_negative": jnp.all(jnp.stack([jnp.all(x >= 0) for x in amounts])),
        "idle_is_empty": jnp.all(
            jnp.where(idle, (held + pools + jobs.bond + locked + pledges + earned) == 0, True)
        ),
        "bids_are_covered": jnp.all(
            jnp.where(jobs.phase == Phase.AUCTION, jnp.all(is_covered, axis=1), held == 0)
        ),
        "pools_equal_price": jnp.all(
            jnp.where(
                priced,
                jobs.price + jobs.compensation == pools + earned + paid,
                (pools == 0) & (paid == 0),
            )
        ),
        "bond_is_disputed": jnp.all(jnp.where(disputed, has_bond, jobs.bond == 0)),
        "locks_are_matched": jnp.all(jobs.matched | ((jobs.locked == 0) & (jobs.weights == 0)))
        & jnp.all(jobs.weights <= MAX_WEIGHT),
        "leader_is_buyer": jnp.all(
            jnp.where(jobs.phase == Phase.IDLE, jobs.buyer == NOBODY, is_bidder | may_lack)
        ),
    }
    facts["paid_is_released"] = jnp.all(jobs.released == (jobs.phase == Phase.SETTLED))
    facts["rated_once"] = jnp.all(jobs.rated <= jobs.round)
    if before is not None:
        facts["legal_phases"] = jnp.all(jnp.asarray(_LEGAL)[before.jobs.phase, jobs.phase])
        facts["one_way"] = (ledger.block >= before.block) & (ledger.burned >= before.burned)
    return facts


def assert_valid(ledger: Ledger, before: Ledger | None = None) -> None:
    """Raises on the host when an invariant fails anywhere (also in a batch of ledgers).

    Raises:
        AssertionError: names the broken invariants, and the first world where each broke.
    """
    batch = np.ndim(ledger.block)
    broken = [
        f"{name} (world {tuple(int(i[0]) for i in np.nonzero(~np.asarray(fact)))})"
        if batch
        else name
        for name, fact in _check(ledger, before, batch).items()
        if not np.all(fact)
    ]
    if broken:
        raise AssertionError(f"the ledger broke: {', '.join(broken)}")


@partial(jax.jit, static_argnums=2)
def _check(ledger: Ledger, before: Ledger | None, batch: int) -> dict[str, jax.Array]:
    """`invariants` over `batch` leading axes."""
    check = invariants
    for _ in range(batch):
        check = jax.vmap(check)
    return check(ledger, before)
