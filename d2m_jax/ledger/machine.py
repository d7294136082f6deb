"""The ledger as one state machine: actions as data, `apply` for one, `run_trace` for many.

For code that knows the kind of action at trace time the transitions are called directly. Read next:
`audit.py`.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from d2m_jax.ledger import auction, disputes, escrow, offers, registry, seals, settlement
from d2m_jax.ledger.accounts import integer
from d2m_jax.ledger.codes import Kind, Reason
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import Layout, Ledger, Result

EXTRA = 3  # words of `Action.extra`


@struct.dataclass
class Action:
    """One action; fields that its kind does not use are ignored."""

    kind: jax.Array  # [] int32, see Kind
    actor: jax.Array  # [] int32 account that acts
    job: jax.Array  # [] int32 slot
    target: jax.Array  # [] int32 account that is acted on
    amount: jax.Array  # [] int32 units, blocks, metric in bps, a ruling or a flag
    tags: jax.Array  # [] int32 bitmask
    value: jax.Array  # [] int32 tau, size, base metric, round or commitment of a bid
    extra: jax.Array  # [3] int32 digests of model and metric and a salt, or the terms of a seller
    payload: jax.Array  # [max(N, C)] int32 outcomes, verdicts, weights or findings


def make_action(
    layout: Layout,
    kind: int | jax.Array,
    *,
    actor: int | jax.Array = 0,
    job: int | jax.Array = 0,
    target: int | jax.Array = 0,
    amount: int | jax.Array = 0,
    tags: int | jax.Array = 0,
    value: int | jax.Array = 0,
    extra: Any = (),
    payload: Any = (),
) -> Action:
    """An action with typed fields; a shorter extra or payload is padded with zeros.

    Which field means what, per kind:

    | kind | fields |
    |---|---|
    | WAIT | amount = blocks |
    | REGISTER_SELLER | actor, tags, value = size, target = commitment, amount = deposit, \
    extra = ask, max_tau |
    | REGISTER_NODE | actor, amount = stake |
    | TOP_UP, REQUEST_WITHDRAWAL | actor, amount |
    | WITHDRAW | actor |
    | BAN | actor, target, amount = 1 to ban, 0 to lift |
    | SET_ASK | actor, amount = ask, value = max_tau |
    | BID | actor = buyer, job, tags, amount, value = tau_bps, extra = model, metric |
    | SEAL | actor = buyer, job, tags, amount = deposit, value = commitment |
    | REVEAL | actor = buyer, job, amount, value = tau_bps, extra = model, metric, salt |
    | CLOSE_AUCTION, SETTLE, TIME_OUT, RESET_JOB | actor, job |
    | SETTLE_ROUND | actor, job, payload[:C] = outcomes |
    | RATE_SELLERS | actor, job, payload[:N] = verdicts |
    | SLASH_SELLER | actor, job, target |
    | REPORT_METRIC | actor, job, amount = metric, value = base metric, payload[:N] = weights |
    | OPEN_DISPUTE | actor, job, target = accused, value = round |
    | RESOLVE_DISPUTE | actor, job, amount = ruling, payload[:C] = findings |
    | TAKE | actor, job |
    | OPEN_METRIC | actor, job, value = content, extra = salt |
    """
    vector, words = integer(payload).reshape(-1), integer(extra).reshape(-1)
    return Action(
        kind=integer(kind),
        actor=integer(actor),
        job=integer(job),
        target=integer(target),
        amount=integer(amount),
        tags=integer(tags),
        value=integer(value),
        extra=jnp.pad(words, (0, EXTRA - words.shape[0])),
        payload=jnp.pad(vector, (0, layout.payload_size - vector.shape[0])),
    )


def _wait(s: Ledger, r: Rules, a: Action) -> Result:
    return escrow.advance(s, r, blocks=a.amount)


def _register_seller(s: Ledger, r: Rules, a: Action) -> Result:
    return registry.register_seller(
        s,
        r,
        actor=a.actor,
        tags=a.tags,
        size=a.value,
        commitment=a.target,
        deposit=a.amount,
        ask=a.extra[0],
        max_tau_bps=a.extra[1],
    )


def _register_node(s: Ledger, r: Rules, a: Action) -> Result:
    return registry.register_node(s, r, actor=a.actor, stake=a.amount)


def _top_up(s: Ledger, r: Rules, a: Action) -> Result:
    return registry.top_up(s, r, actor=a.actor, amount=a.amount)


def _request_withdrawal(s: Ledger, r: Rules, a: Action) -> Result:
    return registry.request_withdrawal(s, r, actor=a.actor, amount=a.amount)


def _withdraw(s: Ledger, r: Rules, a: Action) -> Result:
    return registry.withdraw(s, r, actor=a.actor)


def _ban(s: Ledger, r: Rules, a: Action) -> Result:
    return registry.ban(s, r, actor=a.actor, target=a.target, banned=a.amount)


def _set_ask(s: Ledger, r: Rules, a: Action) -> Result:
    return registry.set_ask(s, r, actor=a.actor, ask=a.amount, max_tau_bps=a.value)


def _bid(s: Ledger, r: Rules, a: Action) -> Result:
    return auction.bid(
        s,
        r,
        buyer=a.actor,
        job=a.job,
        tags=a.tags,
        amount=a.amount,
        tau_bps=a.value,
        model=a.extra[0],
        metric=a.extra[1],
    )


def _seal(s: Ledger, r: Rules, a: Action) -> Result:
    return seals.seal(
        s, r, buyer=a.actor, job=a.job, tags=a.tags, deposit=a.amount, commitment=a.value
    )


def _reveal(s: Ledger, r: Rules, a: Action) -> Result:
    return seals.reveal(
        s,
        r,
        buyer=a.actor,
        job=a.job,
        amount=a.amount,
        tau_bps=a.value,
        model=a.extra[0],
        metric=a.extra[1],
        salt=a.extra[2],
    )


def _close_auction(s: Ledger, r: Rules, a: Action) -> Result:
    return auction.close_auction(s, r, actor=a.actor, job=a.job)


def _settle_round(s: Ledger, r: Rules, a: Action) -> Result:
    outcomes = a.payload[: s.layout.num_nodes]
    return settlement.settle_round(s, r, actor=a.actor, job=a.job, outcomes=outcomes)


def _rate_sellers(s: Ledger, r: Rules, a: Action) -> Result:
    verdicts = a.payload[: s.layout.num_sellers]
    return settlement.rate_sellers(s, r, actor=a.actor, job=a.job, verdicts=verdicts)


def _slash_seller(s: Ledger, r: Rules, a: Action) -> Result:
    return settlement.slash_seller(s, r, actor=a.actor, job=a.job, target=a.target)


def _report_metric(s: Ledger, r: Rules, a: Action) -> Result:
    return settlement.report_metric(
        s,
        r,
        actor=a.actor,
        job=a.job,
        metric_bps=a.amount,
        weights=a.payload[: s.layout.num_sellers],
        base_metric_bps=a.value,
    )


def _open_dispute(s: Ledger, r: Rules, a: Action) -> Result:
    return disputes.open_dispute(
        s, r, actor=a.actor, job=a.job, accused=a.target, disputed_round=a.value
    )


def _resolve_dispute(s: Ledger, r: Rules, a: Action) -> Result:
    found = a.payload[: s.layout.num_nodes]
    return disputes.resolve_dispute(s, r, actor=a.actor, job=a.job, ruling=a.amount, findings=found)


def _settle(s: Ledger, r: Rules, a: Action) -> Result:
    return settlement.settle(s, r, actor=a.actor, job=a.job)


def _time_out(s: Ledger, r: Rules, a: Action) -> Result:
    return escrow.time_out(s, r, actor=a.actor, job=a.job)


def _reset_job(s: Ledger, r: Rules, a: Action) -> Result:
    return escrow.reset_job(s, r, actor=a.actor, job=a.job)


def _take(s: Ledger, r: Rules, a: Action) -> Result:
    return offers.take(s, r, actor=a.actor, job=a.job)


def _open_metric(s: Ledger, r: Rules, a: Action) -> Result:
    return offers.open_metric(s, r, actor=a.actor, job=a.job, content=a.value, salt=a.extra[0])


def _unknown(s: Ledger, r: Rules, a: Action) -> Result:
    del r, a
    return s, jnp.int32(Reason.UNKNOWN_ACTION)


BRANCHES = {
    Kind.WAIT: _wait,
    Kind.REGISTER_SELLER: _register_seller,
    Kind.REGISTER_NODE: _register_node,
    Kind.TOP_UP: _top_up,
    Kind.REQUEST_WITHDRAWAL: _request_withdrawal,
    Kind.WITHDRAW: _withdraw,
    Kind.BAN: _ban,
    Kind.SET_ASK: _set_ask,
    Kind.BID: _bid,
    Kind.SEAL: _seal,
    Kind.REVEAL: _reveal,
    Kind.CLOSE_AUCTION: _close_auction,
    Kind.SETTLE_ROUND: _settle_round,
    Kind.RATE_SELLERS: _rate_sellers,
    Kind.SLASH_SELLER: _slash_seller,
    Kind.REPORT_METRIC: _report_metric,
    Kind.OPEN_DISPUTE: _open_dispute,
    Kind.RESOLVE_DISPUTE: _resolve_dispute,
    Kind.SETTLE: _settle,
    Kind.TIME_OUT: _time_out,
    Kind.RESET_JOB: _reset_job,
    Kind.TAKE: _take,
    Kind.OPEN_METRIC: _open_metric,
}


def apply(ledger: Ledger, rules: Rules, action: Action) -> Result:
    """One action on the ledger.

    A refused action changes nothing; the receipt says which check failed first (`describe`). The
    order of checks is in the docstring of each transition. A kind outside `Kind` gets
    UNKNOWN_ACTION.

    Args:
        ledger: before.
        rules: terms.
        action: what, by whom, on what.

    Returns:
        The ledger after, and the receipt: [] int32, see `Reason`.

    Cost: one branch of a `lax.switch`; under `vmap` over kinds all branches run.
    """
    known = (action.kind >= 0) & (action.kind < len(BRANCHES))
    index = jnp.where(known, action.kind, len(BRANCHES))
    branches = [BRANCHES[kind] for kind in Kind] + [_unknown]
    return jax.lax.switch(index, branches, ledger, rules, action)


def run_trace(ledger: Ledger, rules: Rules, actions: Action) -> Result:
    """Applies a trace of actions in order, by `lax.scan`.

    Args:
        ledger: before.
        rules: terms.
        actions: an Action whose leaves carry a leading axis [steps].

    Returns:
        The ledger after, and the receipts [steps] int32.
    """

    def step(state: Ledger, action: Action) -> Result:
        return apply(state, rules, action)

    return jax.lax.scan(step, ledger, actions)
