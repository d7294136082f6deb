"""Who takes part: registration, deposits and stakes, withdrawal after a delay, bans.

A stake stays where it is while a withdrawal waits, so that it can still be slashed; it only stops
counting for new work. Reputation and bans belong to the account: leaving and coming back under the
same account does not wash them off. Read next: `auction.py`.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from d2m_jax.ledger.accounts import (
    at,
    check_actor,
    check_arbiter,
    commit,
    first_failure,
    integer,
)
from d2m_jax.ledger.codes import Phase, Reason
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import Ledger, Result


def is_seller(ledger: Ledger, account: jax.Array) -> jax.Array:
    """Whether the account belongs to a seller."""
    span = ledger.layout.sellers
    return (account >= span.start) & (account < span.stop)


def is_node(ledger: Ledger, account: jax.Array) -> jax.Array:
    """Whether the account belongs to a compute node."""
    span = ledger.layout.nodes
    return (account >= span.start) & (account < span.stop)


def free_stakes(ledger: Ledger) -> jax.Array:
    """[A] int32: stake that is neither asked back nor locked in a job (locked money is apart)."""
    return jnp.maximum(ledger.stakes - ledger.exits, 0)


def eligible_nodes(ledger: Ledger, rules: Rules) -> jax.Array:
    """[C] bool: registered, not banned, free stake at least `rules.node_stake`."""
    span = ledger.layout.nodes
    good = ledger.registered & ~ledger.banned & (free_stakes(ledger) >= rules.node_stake)
    return good[span]


def eligible_sellers(ledger: Ledger, rules: Rules, tags: int | jax.Array) -> jax.Array:
    """[N] bool: may be matched to a request for `tags`.

    Registered, not banned, tags cover the request (`tags & ~own == 0`), reputation and free deposit
    at least the minimum (reference 3.1). The buyer is no seller: roles are disjoint accounts.
    """
    span = ledger.layout.sellers
    good = ledger.registered & ~ledger.banned & (free_stakes(ledger) >= rules.seller_deposit)
    covers = (integer(tags) & ~ledger.tags) == 0
    return good[span] & covers & (ledger.reputation_bps >= rules.min_reputation_bps)


def _read(vector: jax.Array, index: jax.Array) -> jax.Array:
    return vector[jnp.clip(index, 0, vector.shape[0] - 1)]


def _mark(vector: jax.Array, index: jax.Array, value: jax.Array | bool | int) -> jax.Array:
    here = jnp.arange(vector.shape[0], dtype=jnp.int32) == index
    return jnp.where(here, value, vector)


def register_seller(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    tags: int | jax.Array,
    size: int | jax.Array,
    commitment: int | jax.Array,
    deposit: int | jax.Array,
) -> Result:
    """A seller lists its data and moves a deposit from its balance.

    Checks, in order: UNKNOWN_PARTY (no such account), NOT_AUTHORISED (not a seller), BANNED,
    ALREADY_DONE (registered), BAD_VALUE (tags or size below 1), DEPOSIT_TOO_LOW, NOT_ENOUGH_MONEY.

    Args:
        ledger: before.
        rules: terms.
        actor: account of the seller.
        tags: bitmask, the bits that the data is said to have.
        size: number of examples.
        commitment: digest of the data.
        deposit: units, at least `rules.seller_deposit`.
    """
    actor, tags, size = integer(actor), integer(tags), integer(size)
    commitment, deposit = integer(commitment), integer(deposit)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            (Reason.NOT_AUTHORISED, ~is_seller(ledger, actor)),
            (Reason.BANNED, _read(ledger.banned, actor)),
            (Reason.ALREADY_DONE, _read(ledger.registered, actor)),
            (Reason.BAD_VALUE, (tags < 1) | (size < 1)),
            (Reason.DEPOSIT_TOO_LOW, (deposit < rules.seller_deposit) | (deposit < 0)),
            (Reason.NOT_ENOUGH_MONEY, deposit > _read(ledger.balances, actor)),
        ]
    )
    seller = actor - ledger.layout.sellers.start
    new = replace(
        _stake(ledger, actor, deposit),
        registered=_mark(ledger.registered, actor, True),
        tags=_mark(ledger.tags, seller, tags),
        sizes=_mark(ledger.sizes, seller, size),
        commitments=_mark(ledger.commitments, seller, commitment),
    )
    return commit(reason, new, ledger)


def register_node(
    ledger: Ledger, rules: Rules, *, actor: int | jax.Array, stake: int | jax.Array
) -> Result:
    """A compute node joins the pool and moves a stake from its balance.

    Checks, in order: UNKNOWN_PARTY, NOT_AUTHORISED (not a node), BANNED, ALREADY_DONE (registered),
    DEPOSIT_TOO_LOW, NOT_ENOUGH_MONEY.
    """
    actor, stake = integer(actor), integer(stake)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            (Reason.NOT_AUTHORISED, ~is_node(ledger, actor)),
            (Reason.BANNED, _read(ledger.banned, actor)),
            (Reason.ALREADY_DONE, _read(ledger.registered, actor)),
            (Reason.DEPOSIT_TOO_LOW, (stake < rules.node_stake) | (stake < 0)),
            (Reason.NOT_ENOUGH_MONEY, stake > _read(ledger.balances, actor)),
        ]
    )
    new = replace(_stake(ledger, actor, stake), registered=_mark(ledger.registered, actor, True))
    return commit(reason, new, ledger)


def top_up(
    ledger: Ledger, rules: Rules, *, actor: int | jax.Array, amount: int | jax.Array
) -> Result:
    """A registered seller or node adds to its deposit or stake.

    Checks, in order: UNKNOWN_PARTY, NOT_REGISTERED, BANNED, BAD_VALUE (amount below 1),
    NOT_ENOUGH_MONEY.
    """
    del rules  # every transition has the same first arguments
    actor, amount = integer(actor), integer(amount)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            (Reason.NOT_REGISTERED, ~_read(ledger.registered, actor)),
            (Reason.BANNED, _read(ledger.banned, actor)),
            (Reason.BAD_VALUE, amount < 1),
            (Reason.NOT_ENOUGH_MONEY, amount > _read(ledger.balances, actor)),
        ]
    )
    return commit(reason, _stake(ledger, actor, amount), ledger)


def request_withdrawal(
    ledger: Ledger, rules: Rules, *, actor: int | jax.Array, amount: int | jax.Array
) -> Result:
    """Asks for part of a free deposit or stake back; a new request replaces the old one.

    Checks, in order: UNKNOWN_PARTY, NOT_REGISTERED, BAD_VALUE (amount below 1), NOT_ENOUGH_MONEY
    (more than the stake).
    """
    del rules
    actor, amount = integer(actor), integer(amount)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            (Reason.NOT_REGISTERED, ~_read(ledger.registered, actor)),
            (Reason.BAD_VALUE, amount < 1),
            (Reason.NOT_ENOUGH_MONEY, amount > _read(ledger.stakes, actor)),
        ]
    )
    new = replace(
        ledger,
        exits=_mark(ledger.exits, actor, amount),
        exit_blocks=_mark(ledger.exit_blocks, actor, ledger.block),
    )
    return commit(reason, new, ledger)


def withdraw(ledger: Ledger, rules: Rules, *, actor: int | jax.Array) -> Result:
    """Pays out a request after the delay: what was asked, or what slashing has left of it.

    Who takes out the last unit and has nothing locked in a job is no longer registered. A node
    waits longer, until no job is matched and unfinished: it could still be slashed for it. What a
    seller can lose is locked in its jobs, apart from its stake.

    Checks, in order: UNKNOWN_PARTY, NOT_REGISTERED, WRONG_PHASE (nothing was asked back),
    TOO_EARLY (the delay is not over, or the actor is a node and a job runs).
    """
    actor = integer(actor)
    asked, stake = _read(ledger.exits, actor), _read(ledger.stakes, actor)
    waited = ledger.block - _read(ledger.exit_blocks, actor)
    phases = ledger.jobs.phase
    is_any_running = jnp.any((phases >= Phase.MATCHED) & (phases <= Phase.DISPUTED))
    reason = first_failure(
        [
            check_actor(ledger, actor),
            (Reason.NOT_REGISTERED, ~_read(ledger.registered, actor)),
            (Reason.WRONG_PHASE, asked == 0),
            (Reason.TOO_EARLY, waited < rules.withdrawal_delay),
            (Reason.TOO_EARLY, is_node(ledger, actor) & is_any_running),
        ]
    )
    amount = jnp.minimum(asked, stake)
    seller = actor - ledger.layout.sellers.start
    here = jnp.arange(ledger.tags.shape[0], dtype=jnp.int32) == seller
    is_locked = jnp.any((ledger.jobs.locked > 0) & here[None, :])
    stays = (stake > amount) | is_locked
    new = replace(
        _stake(ledger, actor, -amount),
        exits=_mark(ledger.exits, actor, 0),
        registered=_mark(ledger.registered, actor, stays),
    )
    return commit(reason, new, ledger)


def ban(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    target: int | jax.Array,
    banned: bool | int | jax.Array = True,
) -> Result:
    """The arbiter bars a seller or node from new work, or lets it back; no money moves.

    Checks, in order: UNKNOWN_PARTY (actor), NOT_AUTHORISED (not the arbiter), UNKNOWN_PARTY (the
    target is no seller or node), ALREADY_DONE (nothing would change).
    """
    del rules
    actor, target, banned = integer(actor), integer(target), integer(banned) != 0
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_arbiter(ledger, actor),
            (Reason.UNKNOWN_PARTY, ~(is_seller(ledger, target) | is_node(ledger, target))),
            (Reason.ALREADY_DONE, _read(ledger.banned, target) == banned),
        ]
    )
    return commit(reason, replace(ledger, banned=_mark(ledger.banned, target, banned)), ledger)


def _stake(ledger: Ledger, account: jax.Array, amount: jax.Array) -> Ledger:
    """Moves `amount` from a balance to the stake of the same account (back when negative)."""
    moved = at(account, amount, ledger.stakes.shape[0])
    return replace(ledger, balances=ledger.balances - moved, stakes=ledger.stakes + moved)
