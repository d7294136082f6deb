"""Disputes: a party of the job stakes a bond against a node or seller, the arbiter decides.

The re-execution of the round by a fresh, larger execution set happens in CONE; here its verdict is
booked and its work paid. The D2M paper leaves the procedure open: all of it is our choice. Read
next: `audit.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax.core.money import mul_bps
from d2m_jax.core.trees import choose
from d2m_jax.ledger.accounts import (
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
)
from d2m_jax.ledger.codes import Finding, Phase, Reason, Ruling
from d2m_jax.ledger.escrow import finish
from d2m_jax.ledger.judgement import amend, guilt_of, spend
from d2m_jax.ledger.registry import is_node
from d2m_jax.ledger.rules import Rules
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
    """The arbiter books the verdict; the loser pays, and who was right is made whole.

    UPHELD (the model is spoilt): the job fails, the buyer is refunded, honest compute is paid.
    REPORT_AGAIN (only the metric was false): back to VERIFY, the metric is reported anew and has a
    challenge window of its own. In both the accused and the GUILTY nodes are banned and lose
    slash_wrong_bps of their pledge (a seller slash_harm_bps of its locked deposit) and all that
    they have earned in the job; the bond goes back.
    REJECTED: nobody is guilty and the bond is lost. The challenge window starts again, so that a
    false dispute cannot use up the time of a true one; each costs a bond.

    Who was WRONG or SILENT in the re-execution is slashed as in a round.

    From what the guilty had earned, which is money of the price: who was OUTVOTED gets the rewards
    that it missed; the rest goes back to the compute pool. Its pledge is as if it had not been
    slashed. From what the guilty lose of their pledges and deposits, in this order, at once:

    1. min(reward_cap, min(money of a round, what there is) // #matching) to each node that MATCHED
       in the re-execution and is neither banned nor guilty;
    2. UPHELD: work_bps of the seller pool to the sellers, by weight, for a model that is spoilt;
    3. burn_bps of it is burned;
    4. to the disputer, at most the size of its bond; 5. to the buyer, the rest.

    When the dispute was rejected, the bond pays 1 and the rest of it is burned: paid to the
    accused, one could accuse one's own Sybil for free; to the arbiter, it would earn by rejecting.

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
    guilt = guilt_of(ledger, rules, row, findings, ruling)
    after = amend(row, rules, findings, guilt, ruling)
    judged = spend(ledger, rules, after, findings, guilt, ruling)
    judged = edit_job(judged, job, **vars(after))
    nothing = jnp.zeros_like(row.locked)
    failed = finish(judged, rules, job, after, Phase.REFUNDED, nothing, integer(0))
    lost = _drop_dispute(judged, job, Phase.CHALLENGE)
    again = _drop_dispute(credit(judged, row.disputer, row.bond), job, Phase.VERIFY)
    rejected = ruling == Ruling.REJECTED
    new = choose(ruling == Ruling.UPHELD, failed, choose(rejected, lost, again))
    return commit(reason, new, ledger)


def _drop_dispute(ledger: Ledger, job: jax.Array, phase: Phase) -> Ledger:
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
    )
