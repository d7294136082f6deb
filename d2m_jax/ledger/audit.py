"""What must hold after every action, whatever the actions were.

`invariants` returns booleans and works inside jit; `assert_valid` raises on the host.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.core.money import largest
from d2m_jax.core.money import total as sum_of
from d2m_jax.ledger.codes import NEXT_PHASES, Phase
from d2m_jax.ledger.state import MAX_WEIGHT, MONEY, NOBODY, Jobs, Ledger

_LEGAL = np.eye(len(Phase), dtype=bool)
for _before, _after in NEXT_PHASES.items():
    _LEGAL[_before, list(_after)] = True


def money_of(ledger: Ledger) -> list[jax.Array]:
    """Every array of money there is."""
    in_jobs = [getattr(ledger.jobs, name) for name in ("deposits", *MONEY)]
    return [ledger.balances, ledger.stakes, ledger.burned, *in_jobs]


def total(ledger: Ledger) -> jax.Array:
    """[] units: all money there is, wherever it lies."""
    return sum_of(jnp.stack([sum_of(part) for part in money_of(ledger)]))


def fits(ledger: Ledger) -> jax.Array:
    """[] bool: all the money together is below 2**31 (2**63), so that no sum of it has wrapped.

    A sum of int32 wraps by multiples of 2**32. A supply that wrapped is negative, or the float32
    sum is at least 2**32; its rounding error is far below the 2**30 that are left between. The same
    of int64, twice the powers.
    """
    about = jnp.stack([part.astype(jnp.float32).sum() for part in money_of(ledger)]).sum()
    return (ledger.supply >= 0) & (about < 1.5 * largest(ledger.supply.dtype))


def wealth(ledger: Ledger) -> jax.Array:
    """[A] units: balance plus stake of every account; also for worlds stacked, [W, A]."""
    return ledger.balances + ledger.stakes


def pools_of_jobs(jobs: Jobs) -> jax.Array:
    """[J] units: what is left of the price of each job."""
    return jobs.seller_pool + jobs.compute_pool + jobs.fee_pool


def money_by_role(ledger: Ledger) -> dict[str, jax.Array]:
    """Where the money lies, as [] sums that add up to the supply."""
    layout, jobs = ledger.layout, ledger.jobs
    pools = pools_of_jobs(jobs) + jobs.forfeited
    return {
        "buyers": sum_of(ledger.balances[layout.buyers]),
        "sellers": sum_of(ledger.balances[layout.sellers]),
        "nodes": sum_of(ledger.balances[layout.nodes]),
        "treasury": ledger.balances[layout.treasury],
        "escrow": sum_of(pools) + sum_of(jobs.deposits) + sum_of(jobs.earned),
        "deposits": sum_of(ledger.stakes[layout.sellers]) + sum_of(jobs.locked),
        "stakes": sum_of(ledger.stakes[layout.nodes]) + sum_of(jobs.pledged + jobs.held),
        "bonds": sum_of(jobs.bond),
        "burned": ledger.burned,
    }


def invariants(ledger: Ledger, before: Ledger | None = None) -> dict[str, jax.Array]:
    """[] bool facts; all are true of every ledger that transitions can reach.

    conserved: balances + stakes + deposits and pledges in jobs (slashed or not) + pools + earned
        rewards + what is forfeited + bonds + burned = supply, and the supply fits into its type.
    not_negative: no money, count or weight is below zero.
    idle_is_empty: a job that is idle or finished holds no money and locks no deposit.
    bids_are_covered: in a running auction a buyer's deposit is at least its bid, and there is one
        exactly where there is a bid or a seal; elsewhere no job holds a buyer's deposit.
    pools_equal_price: price + compensation = pools + earned + forfeited + paid + refunded, from
        the match on.
    bond_is_disputed: there is a bond, a disputer and a disputed unit with a result exactly while
        DISPUTED.
    locks_are_matched: only matched sellers have locked deposits, only they have weights.
    leader_is_buyer: an idle job has no buyer, a matched one has; if there is one it is the account
        of a buyer with a bid.
    paid_is_released: a model is released exactly when its job is settled, and none that is spoilt.
    serials_start: a job that was matched has asked for a unit.
    With `before` (the ledger one action earlier) also:
    legal_phases: each job stayed or took a step of `NEXT_PHASES`.
    one_way: neither the block nor the burned money nor a serial ever falls.

    Args:
        ledger: to be checked.
        before: the ledger one action earlier.
    """
    jobs = ledger.jobs
    is_matched = (jobs.phase >= Phase.MATCHED) & (jobs.phase != Phase.ABORTED)
    facts = {
        **_of_money(ledger),
        "bids_are_covered": _covers_bids(jobs),
        "bond_is_disputed": _bonds_disputes(jobs),
        "locks_are_matched": jnp.all(jobs.matched | ((jobs.locked == 0) & (jobs.weights == 0)))
        & jnp.all(jobs.weights <= MAX_WEIGHT),
        "leader_is_buyer": _leads_buyer(ledger),
        "paid_is_released": jnp.all(jobs.released == (jobs.phase == Phase.SETTLED))
        & ~jnp.any(jobs.released & jobs.spoilt),
        "serials_start": jnp.all(~is_matched | (jobs.serial > 0)),
    }
    if before is not None:
        facts["legal_phases"] = jnp.all(jnp.asarray(_LEGAL)[before.jobs.phase, jobs.phase])
        grows = (ledger.block >= before.block) & (ledger.burned >= before.burned)
        facts["one_way"] = grows & jnp.all(jobs.serial >= before.jobs.serial)
    return facts


def _of_money(ledger: Ledger) -> dict[str, jax.Array]:
    """The facts that are about sums."""
    jobs, numbers = ledger.jobs, ("bids", "price", "weights", "round", "serial", "offered")
    paid = jobs.seller_paid + jobs.compute_paid + jobs.fee_paid + jobs.refunded
    counts = [getattr(jobs, name) for name in numbers]
    amounts = [*money_of(ledger), *counts, ledger.block, ledger.exits, jobs.compensation]
    amounts += [jobs.seller_paid, jobs.compute_paid, jobs.fee_paid, jobs.refunded]
    idle = (jobs.phase == Phase.IDLE) | (jobs.phase >= Phase.SETTLED)
    emptied = jnp.stack([_per_job(getattr(jobs, name)) == 0 for name in ("deposits", *MONEY)])
    pools = pools_of_jobs(jobs) + _per_job(jobs.earned) + jobs.forfeited
    priced = jobs.price + jobs.compensation == pools + paid
    unpriced = (pools == 0) & (paid == 0)
    return {
        "conserved": (total(ledger) == ledger.supply) & fits(ledger),
        "not_negative": jnp.all(jnp.stack([jnp.all(x >= 0) for x in amounts])),
        "idle_is_empty": jnp.all(jnp.all(emptied, axis=0) | ~idle),
        "pools_equal_price": jnp.all(jnp.where(jobs.phase >= Phase.MATCHED, priced, unpriced)),
    }


def _per_job(amounts: jax.Array) -> jax.Array:
    """[J] units: the sum of [J] or [J, ...] amounts."""
    return sum_of(amounts.reshape(amounts.shape[0], -1), 1)


def _covers_bids(jobs: Jobs) -> jax.Array:
    has_bid = (jobs.bids > 0) | (jobs.seals != 0)
    is_covered = (jobs.deposits >= jobs.bids) & ((jobs.deposits > 0) == has_bid)
    auctions = jobs.phase == Phase.AUCTION
    return jnp.all(jnp.where(auctions, jnp.all(is_covered, axis=1), _per_job(jobs.deposits) == 0))


def _bonds_disputes(jobs: Jobs) -> jax.Array:
    units = jnp.arange(jobs.results.shape[1], dtype=jnp.int32)
    is_unit = (units[None] == jobs.disputed_unit[:, None]) & (jobs.results != 0)
    has_bond = (jobs.bond > 0) & (jobs.disputer != NOBODY) & jnp.any(is_unit, axis=1)
    return jnp.all(jnp.where(jobs.phase == Phase.DISPUTED, has_bond, jobs.bond == 0))


def _leads_buyer(ledger: Ledger) -> jax.Array:
    jobs = ledger.jobs
    accounts = jnp.arange(ledger.layout.num_buyers, dtype=jnp.int32)
    is_bidder = jnp.any((accounts[None] == jobs.buyer[:, None]) & (jobs.bids > 0), axis=1)
    needs_buyer = (jobs.phase > Phase.AUCTION) & (jobs.phase != Phase.ABORTED)
    may_lack = ~needs_buyer & (jobs.buyer == NOBODY)
    idle = jobs.phase == Phase.IDLE
    return jnp.all(jnp.where(idle, jobs.buyer == NOBODY, is_bidder | may_lack))


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
