"""Disputes: a party of the job stakes a bond against a node or seller, the arbiter decides.

The re-execution of the round by a fresh, larger execution set happens in CONE; here its verdict is
booked and its work paid. The D2M paper leaves the procedure open: all of it is our choice. Read
next: `audit.py`.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from d2m_jax.core.money import mul_bps
from d2m_jax.core.trees import choose
from d2m_jax.ledger.accounts import (
    add_stakes,
    check_actor,
    check_arbiter,
    check_job,
    check_phase,
    commit,
    credit,
    edit_job,
    first_failure,
    get_job,
    integer,
    pay_many,
)
from d2m_jax.ledger.codes import Finding, Phase, Reason, Ruling
from d2m_jax.ledger.escrow import finish
from d2m_jax.ledger.registry import is_node
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.settlement import burn_share, round_money
from d2m_jax.ledger.state import NOBODY, Jobs, Ledger, Result


def _is_matched(ledger: Ledger, row: Jobs, account: jax.Array) -> jax.Array:
    """Whether the account is a matched seller of the job."""
    index = jnp.arange(row.matched.shape[0], dtype=jnp.int32) + ledger.layout.sellers.start
    return jnp.any(row.matched & (index == account))


def _is_pool_node(ledger: Ledger, account: jax.Array) -> jax.Array:
    """Whether the account is a registered compute node."""
    index = jnp.clip(account, 0, ledger.balances.shape[0] - 1)
    return is_node(ledger, account) & ledger.registered[index]


def bond_of(row: Jobs, rules: Rules) -> jax.Array:
    """[] int32: bond_bps of the price, at least one unit (a free dispute would be free grief)."""
    return jnp.maximum(mul_bps(row.price, rules.bond_bps), 1)


def open_dispute(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    job: int | jax.Array,
    accused: int | jax.Array,
    disputed_round: int | jax.Array,
) -> Result:
    """A party of the job (buyer, matched seller, registered node) accuses a node or seller.

    The bond leaves the balance and the job waits for the arbiter.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE (not CHALLENGE),
    NOT_AUTHORISED (no party of the job), TOO_LATE (window over), UNKNOWN_PARTY (the accused is no
    matched seller or registered node, or is the actor), BAD_VALUE (no such settled round),
    NOT_ENOUGH_MONEY (for the bond).

    Args:
        ledger: before.
        rules: terms.
        actor: who disputes and pays the bond.
        job: slot.
        accused: account of the node or seller.
        disputed_round: index of a settled round.
    """
    actor, job = integer(actor), integer(job)
    accused, disputed_round = integer(accused), integer(disputed_round)
    row = get_job(ledger, job)
    bond = bond_of(row, rules)
    is_party = (actor == row.buyer) | _is_matched(ledger, row, actor) | _is_pool_node(ledger, actor)
    can_be_accused = _is_matched(ledger, row, accused) | _is_pool_node(ledger, accused)
    balance = ledger.balances[jnp.clip(actor, 0, ledger.balances.shape[0] - 1)]
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            *check_phase(row, Phase.CHALLENGE),
            (Reason.NOT_AUTHORISED, ~is_party),
            (Reason.TOO_LATE, ledger.block - row.since >= rules.challenge_window),
            (Reason.UNKNOWN_PARTY, ~can_be_accused | (accused == actor)),
            (Reason.BAD_VALUE, (disputed_round < 0) | (disputed_round >= row.round)),
            (Reason.NOT_ENOUGH_MONEY, bond > balance),
        ]
    )
    new = edit_job(
        credit(ledger, actor, -bond),
        job,
        phase=integer(Phase.DISPUTED),
        since=ledger.block,
        bond=bond,
        disputer=actor,
        accused=accused,
        disputed_round=disputed_round,
    )
    return commit(reason, new, ledger)


def resolve_dispute(
    ledger: Ledger,
    rules: Rules,
    *,
    actor: int | jax.Array,
    job: int | jax.Array,
    ruling: int | jax.Array,
    findings: jax.Array,
) -> Result:
    """The arbiter books the verdict; the loser pays, also those who executed again.

    UPHELD or REPORT_AGAIN: the accused and the GUILTY nodes lose slash_wrong_bps of their stake
    (a seller slash_harm_bps of its locked deposit) and are banned; the bond goes back. UPHELD (the
    model is spoilt): the job fails, the buyer is refunded, honest compute stays paid.
    REPORT_AGAIN (only the metric was false): back to VERIFY, the metric is reported anew and has a
    challenge window of its own, so that neither side loses by a lie of the nodes.
    REJECTED: nobody is guilty and the bond is lost. The challenge window starts again, so that a
    false dispute cannot use up the time of a true one; each costs a bond.

    Who was WRONG or SILENT in the re-execution is slashed as in a round. Then, in whole units:

    pot    = what was slashed and is not burned, plus a lost bond
    reward = min(reward_cap, min(compute money of a round, pot) // #matching)

    to each node that MATCHED in the re-execution and is neither banned nor guilty. Of the rest the
    disputer that won gets up to the size of its bond, the buyer what remains. When the dispute was
    rejected the rest is burned: paid to the accused, one could accuse one's own Sybil for free; to
    the arbiter, it would earn by rejecting. None of this touches the price of the job.

    Checks, in order: UNKNOWN_PARTY, UNKNOWN_JOB, NOT_AUTHORISED (not the arbiter), ALREADY_DONE or
    WRONG_PHASE (not DISPUTED), BAD_VALUE (no such `Ruling`, or an entry that is no `Finding`).

    Args:
        ledger: before.
        rules: terms.
        actor: the arbiter's account.
        job: slot.
        ruling: see `Ruling`.
        findings: [C] int32, see `Finding`.
    """
    actor, job = integer(actor), integer(job)
    ruling, findings = integer(ruling), integer(findings)
    row = get_job(ledger, job)
    reason = first_failure(
        [
            check_actor(ledger, actor),
            check_job(ledger, job),
            check_arbiter(ledger, actor),
            *check_phase(row, Phase.DISPUTED),
            (
                Reason.BAD_VALUE,
                (ruling < 0)
                | (ruling > max(Ruling))
                | jnp.any((findings < 0) | (findings > max(Finding))),
            ),
        ]
    )
    rejected = ruling == Ruling.REJECTED
    judged, after = _judge(ledger, rules, job, row, findings, rejected)
    nothing = jnp.zeros_like(row.locked)
    failed = finish(judged, job, after, Phase.REFUNDED, nothing, integer(0))
    again = _drop_dispute(
        credit(judged, row.disputer, row.bond), job, Phase.VERIFY, locked=after.locked
    )
    lost = _drop_dispute(judged, job, Phase.CHALLENGE)
    new = choose(ruling == Ruling.UPHELD, failed, choose(rejected, lost, again))
    return commit(reason, new, ledger)


def _judge(
    ledger: Ledger,
    rules: Rules,
    job: jax.Array,
    row: Jobs,
    findings: jax.Array,
    rejected: jax.Array,
) -> tuple[Ledger, Jobs]:
    """Slashes, bans, pays; the ledger without what was slashed, the job with less locked.

    A bond that is lost is spent here, one that is won is still in `row`.
    """
    layout = ledger.layout
    nodes = jnp.arange(layout.num_nodes, dtype=jnp.int32) + layout.nodes.start
    sellers = jnp.arange(layout.num_sellers, dtype=jnp.int32) + layout.sellers.start
    known = ledger.registered[layout.nodes]
    guilty_nodes = known & ~rejected & ((findings == Finding.GUILTY) | (nodes == row.accused))
    guilty_sellers = row.matched & (sellers == row.accused) & ~rejected

    wrong = guilty_nodes | (findings == Finding.WRONG)
    severity = jnp.where(findings == Finding.SILENT, rules.slash_silent_bps, 0)
    severity = jnp.where(wrong, rules.slash_wrong_bps, severity)
    from_nodes = jnp.where(known, mul_bps(ledger.stakes[layout.nodes], severity), 0)
    from_sellers = jnp.where(guilty_sellers, mul_bps(row.locked, rules.slash_harm_bps), 0)
    total = from_nodes.sum(dtype=jnp.int32) + from_sellers.sum(dtype=jnp.int32)
    burned, kept = burn_share(total, rules)

    pot = kept + jnp.where(rejected, row.bond, 0)
    matching = known & ~ledger.banned[layout.nodes] & ~guilty_nodes
    matching &= findings == Finding.MATCHED
    number = matching.sum(dtype=jnp.int32)
    budget = jnp.minimum(round_money(row, rules), pot)
    reward = jnp.minimum(rules.reward_cap, budget // jnp.maximum(number, 1))
    rest = pot - reward * number
    prize = jnp.where(rejected, 0, jnp.minimum(rest, row.bond))
    burned += jnp.where(rejected, rest, 0)

    new = add_stakes(ledger, layout.nodes.start, -from_nodes)
    new = pay_many(new, layout.nodes.start, jnp.where(matching, reward, 0))
    new = credit(new, row.disputer, prize)
    new = credit(new, row.buyer, jnp.where(rejected, 0, rest - prize))
    barred = jnp.concatenate(
        [
            jnp.zeros(layout.num_buyers, bool),
            guilty_sellers,
            guilty_nodes,
            jnp.zeros(1, bool),
        ]
    )
    new = replace(new, burned=ledger.burned + burned, banned=ledger.banned | barred)
    new = edit_job(new, job, excluded=row.excluded | guilty_sellers)
    return new, replace(row, locked=row.locked - from_sellers)


def _drop_dispute(ledger: Ledger, job: jax.Array, phase: Phase, **fields: jax.Array) -> Ledger:
    """The job goes on in `phase`, as if nobody had disputed."""
    return edit_job(
        ledger,
        job,
        phase=integer(phase),
        since=ledger.block,
        bond=integer(0),
        disputer=integer(NOBODY),
        accused=integer(NOBODY),
        disputed_round=integer(NOBODY),
        **fields,
    )
