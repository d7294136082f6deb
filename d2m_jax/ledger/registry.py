"""Who takes part: registration, deposits and stakes, withdrawal after a delay, pledges.

A stake stays where it is while a withdrawal waits; it only stops counting for new work. What is
pledged to a job lies with the job. Reputation and bans, which only votes bring about, belong to the
account: leaving and coming back under the same account does not wash them off. Read next:
`auction.py`.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from d2m_jax.core.money import BPS, total
from d2m_jax.ledger.accounts import (
    at,
    check_actor,
    commit,
    first_failure,
    integer,
    put,
    read,
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
    """[A] units: stake that is neither asked back nor pledged to a job (pledges lie apart)."""
    return jnp.maximum(ledger.stakes - ledger.exits, 0)


def eligible_nodes(ledger: Ledger, rules: Rules) -> jax.Array:
    """[C] bool: could pledge itself to a job now; registered, not banned, free stake enough."""
    span = ledger.layout.nodes
    good = ledger.registered & ~ledger.banned & (free_stakes(ledger) >= rules.node_stake)
    return good[span]


def pledged_nodes(ledger: Ledger, job: int | jax.Array) -> jax.Array:
    """[C] bool: may be drawn for the job: registered, not banned, a pledge is left."""
    good = (ledger.registered & ~ledger.banned)[ledger.layout.nodes]
    return good & (ledger.jobs.pledged[integer(job)] > 0)


def eligible_sellers(
    ledger: Ledger,
    rules: Rules,
    tags: int | jax.Array,
    *,
    pool: int | jax.Array,
    tau_bps: int | jax.Array,
    since: int | jax.Array,
) -> jax.Array:
    """[N] bool: may be matched to a request for `tags`, and has consented to its terms.

    Registered, not banned, tags cover the request (`tags & ~own == 0`), reputation and free deposit
    at least the minimum (reference 3.1), ask <= pool, tau <= max_tau. What a seller asked back in
    block `since` or later still counts as free deposit: nobody leaves because of a price that is
    already known. The buyer is no seller: roles are disjoint accounts.

    Args:
        ledger: before the match.
        rules: terms.
        tags: bitmask asked for.
        pool: units, the seller pool of the job.
        tau_bps: threshold of the job.
        since: block from which the auction counts: its first seal, or its last bid.
    """
    span = ledger.layout.sellers
    good = may_pledge(ledger, rules.seller_deposit, integer(since))
    consents = (ledger.asks <= ledger.units(pool)) & (ledger.max_taus >= integer(tau_bps))
    covers = covered(ledger, integer(tags))
    return good[span] & covers & consents & (ledger.reputation_bps >= rules.min_reputation_bps)


def pledgeable(ledger: Ledger, since: jax.Array) -> jax.Array:
    """[A] units: stake that may be pledged; what was asked back in block `since` or later may."""
    return ledger.stakes - jnp.where(ledger.exit_blocks < since, ledger.exits, 0)


def may_pledge(ledger: Ledger, amount: jax.Array, since: jax.Array) -> jax.Array:
    """[A] bool: registered, not banned, and has the amount ([] or [A]) free to pledge."""
    in_order = ledger.registered & ~ledger.banned
    return in_order & (pledgeable(ledger, since) >= amount)


def offers(ledger: Ledger, rules: Rules, since: jax.Array) -> jax.Array:
    """[C] units: what each node would pledge to a job whose auction counts from `since`.

    node_stake, or by stake all that may be pledged, of every node that has node_stake; else 0.
    """
    span = ledger.layout.nodes
    amount = jnp.where(rules.by_stake != 0, pledgeable(ledger, since), rules.node_stake)
    return jnp.where(may_pledge(ledger, rules.node_stake, since), amount, 0)[span]


def pledges(ledger: Ledger, offered: jax.Array, since: jax.Array) -> jax.Array:
    """[C] units: what is offered by nodes that still may pledge it, else 0."""
    layout = ledger.layout
    before, after = layout.nodes.start, layout.num_accounts - layout.nodes.stop
    could = may_pledge(ledger, jnp.pad(offered, (before, after)), since)[layout.nodes]
    return jnp.where(could, offered, 0)


def covered(ledger: Ledger, tags: jax.Array) -> jax.Array:
    """[N] bool: the seller's tags cover the request."""
    return (tags & ~ledger.tags) == 0


def listing_receipt(
    ledger: Ledger,
    rules: Rules,
    actor: jax.Array,
    tags: jax.Array,
    size: jax.Array,
    deposit: jax.Array,
    ask: jax.Array,
    max_tau: jax.Array,
) -> jax.Array:
    """Receipts int32 of sellers that list their data, [] or of many at once [N]."""
    return first_failure(
        [
            check_actor(ledger, actor),
            (Reason.NOT_AUTHORISED, ~is_seller(ledger, actor)),
            (Reason.BANNED, read(ledger.banned, actor)),
            (Reason.ALREADY_DONE, read(ledger.registered, actor)),
            (Reason.BAD_VALUE, (tags < 1) | (size < 1) | _is_bad_ask(ask, max_tau)),
            (Reason.DEPOSIT_TOO_LOW, (deposit < rules.seller_deposit) | (deposit < 0)),
            (Reason.NOT_ENOUGH_MONEY, deposit > read(ledger.balances, actor)),
        ]
    )


def joining_receipt(ledger: Ledger, rules: Rules, actor: jax.Array, stake: jax.Array) -> jax.Array:
    """Receipts int32 of nodes that join the pool, [] or of many at once [C]."""
    return first_failure(
        [
            check_actor(ledger, actor),
            (Reason.NOT_AUTHORISED, ~is_node(ledger, actor)),
            (Reason.BANNED, read(ledger.banned, actor)),
            (Reason.ALREADY_DONE, read(ledger.registered, actor)),
            (Reason.DEPOSIT_TOO_LOW, (stake < rules.node_stake) | (stake < 0)),
            (Reason.NOT_ENOUGH_MONEY, stake > read(ledger.balances, actor)),
        ]
    )


def register_seller(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    tags: int | jax.Array,
    size: int | jax.Array,
    commitment: int | jax.Array,
    deposit: int | jax.Array,
    ask: int | jax.Array = 0,
    max_tau_bps: int | jax.Array = BPS,
) -> Result:
    """A seller lists its data with the terms it works for, and moves a deposit from its balance.

    Checks, in order: UNKNOWN_PARTY (no such account), NOT_AUTHORISED (not a seller), BANNED,
    ALREADY_DONE (registered), BAD_VALUE (tags or size below 1, ask below 0, max_tau outside
    [0, 10000]), DEPOSIT_TOO_LOW, NOT_ENOUGH_MONEY.

    Args:
        ledger: before.
        rules: terms.
        actor: account of the seller.
        tags: bitmask, the bits that the data is said to have.
        size: number of examples.
        commitment: digest of the data.
        deposit: units, at least `rules.seller_deposit`.
        ask: units, least seller pool of a job for which it works.
        max_tau_bps: highest threshold that it accepts.
    """
    actor, tags, size = integer(actor), integer(tags), integer(size)
    commitment, deposit = integer(commitment), ledger.units(deposit)
    ask, max_tau = ledger.units(ask), integer(max_tau_bps)
    reason = listing_receipt(ledger, rules, actor, tags, size, deposit, ask, max_tau)
    seller = actor - ledger.layout.sellers.start
    new = replace(
        _stake(ledger, actor, deposit),
        registered=put(ledger.registered, actor, True),
        tags=put(ledger.tags, seller, tags),
        sizes=put(ledger.sizes, seller, size),
        commitments=put(ledger.commitments, seller, commitment),
        asks=put(ledger.asks, seller, ask),
        max_taus=put(ledger.max_taus, seller, max_tau),
    )
    return commit(reason, new, ledger)


def _is_bad_ask(ask: jax.Array, max_tau: jax.Array) -> jax.Array:
    return (ask < 0) | (max_tau < 0) | (max_tau > BPS)


def set_ask(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    ask: int | jax.Array,
    max_tau_bps: int | jax.Array,
) -> Result:
    """A registered seller changes the terms it works for; never while it could look at the bids.

    Checks, in order: UNKNOWN_PARTY, NOT_AUTHORISED (not a seller), NOT_REGISTERED, BAD_VALUE (ask
    below 0, max_tau outside [0, 10000]), TOO_LATE (a slot auctions tags that the seller covers).

    Args:
        ledger: before.
        rules: terms.
        actor: account of the seller.
        ask: units, least seller pool of a job for which it works.
        max_tau_bps: highest threshold that it accepts.
    """
    del rules
    actor, ask, max_tau = integer(actor), ledger.units(ask), integer(max_tau_bps)
    seller = actor - ledger.layout.sellers.start
    wanted = (ledger.jobs.tags & ~read(ledger.tags, seller)) == 0
    reason = first_failure(
        [
            check_actor(ledger, actor),
            (Reason.NOT_AUTHORISED, ~is_seller(ledger, actor)),
            (Reason.NOT_REGISTERED, ~read(ledger.registered, actor)),
            (Reason.BAD_VALUE, _is_bad_ask(ask, max_tau)),
            (Reason.TOO_LATE, jnp.any((ledger.jobs.phase == Phase.AUCTION) & wanted)),
        ]
    )
    new = replace(
        ledger,
        asks=put(ledger.asks, seller, ask),
        max_taus=put(ledger.max_taus, seller, max_tau),
    )
    return commit(reason, new, ledger)


def register_node(
    ledger: Ledger, rules: Rules, *, actor: int | jax.Array, stake: int | jax.Array
) -> Result:
    """A compute node joins the pool and moves a stake from its balance.

    Checks, in order: UNKNOWN_PARTY, NOT_AUTHORISED (not a node), BANNED, ALREADY_DONE (registered),
    DEPOSIT_TOO_LOW, NOT_ENOUGH_MONEY.
    """
    actor, stake = integer(actor), ledger.units(stake)
    reason = joining_receipt(ledger, rules, actor, stake)
    new = replace(_stake(ledger, actor, stake), registered=put(ledger.registered, actor, True))
    return commit(reason, new, ledger)


def top_up(
    ledger: Ledger, rules: Rules, *, actor: int | jax.Array, amount: int | jax.Array
) -> Result:
    """A registered seller or node adds to its deposit or stake.

    Checks, in order: UNKNOWN_PARTY, NOT_REGISTERED, BANNED, BAD_VALUE (amount below 1),
    NOT_ENOUGH_MONEY.
    """
    del rules  # every transition has the same first arguments
    actor, amount = integer(actor), ledger.units(amount)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            (Reason.NOT_REGISTERED, ~read(ledger.registered, actor)),
            (Reason.BANNED, read(ledger.banned, actor)),
            (Reason.BAD_VALUE, amount < 1),
            (Reason.NOT_ENOUGH_MONEY, amount > read(ledger.balances, actor)),
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
    actor, amount = integer(actor), ledger.units(amount)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            (Reason.NOT_REGISTERED, ~read(ledger.registered, actor)),
            (Reason.BAD_VALUE, amount < 1),
            (Reason.NOT_ENOUGH_MONEY, amount > read(ledger.stakes, actor)),
        ]
    )
    new = replace(
        ledger,
        exits=put(ledger.exits, actor, amount),
        exit_blocks=put(ledger.exit_blocks, actor, ledger.block),
    )
    return commit(reason, new, ledger)


def withdraw(ledger: Ledger, rules: Rules, *, actor: int | jax.Array) -> Result:
    """Pays out a request after the delay: what was asked, or what slashing has left of it.

    What a seller or node can lose is pledged to its jobs, apart from its stake: it stays there. Who
    takes out the last unit and has nothing in a job is no longer registered.

    Checks, in order: UNKNOWN_PARTY, NOT_REGISTERED, WRONG_PHASE (nothing was asked back),
    TOO_EARLY (the delay is not over).
    """
    actor = integer(actor)
    asked, stake = read(ledger.exits, actor), read(ledger.stakes, actor)
    waited = ledger.block - read(ledger.exit_blocks, actor)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            (Reason.NOT_REGISTERED, ~read(ledger.registered, actor)),
            (Reason.WRONG_PHASE, asked == 0),
            (Reason.TOO_EARLY, waited < rules.withdrawal_delay),
        ]
    )
    amount = jnp.minimum(asked, stake)
    jobs, layout = ledger.jobs, ledger.layout
    of_nodes = jobs.pledged + jobs.held + jobs.earned
    in_jobs = jnp.concatenate([total(jobs.locked, 0), total(of_nodes, 0)])
    here = jnp.arange(in_jobs.shape[0], dtype=jnp.int32) == actor - layout.sellers.start
    stays = (stake > amount) | jnp.any(here & (in_jobs > 0))
    new = replace(
        _stake(ledger, actor, -amount),
        exits=put(ledger.exits, actor, 0),
        registered=put(ledger.registered, actor, stays),
    )
    return commit(reason, new, ledger)


def _stake(ledger: Ledger, account: jax.Array, amount: jax.Array) -> Ledger:
    """Moves `amount` from a balance to the stake of the same account (back when negative)."""
    moved = at(account, amount, ledger.stakes.shape[0])
    return replace(ledger, balances=ledger.balances - moved, stakes=ledger.stakes + moved)
