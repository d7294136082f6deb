"""Which transition each kind of action is, and which fields of the action it takes.

Read next: `machine.py`.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from d2m_jax.ledger import (
    auction,
    cases,
    disputes,
    escrow,
    offers,
    registry,
    rounds,
    seals,
    settlement,
    verification,
)
from d2m_jax.ledger.actions import Action
from d2m_jax.ledger.codes import Kind
from d2m_jax.ledger.state import Result

Fields: TypeAlias = Callable[[Action], dict[str, Any]]


def by(*names: str, **others: str) -> Fields:
    """The named fields of an action, under their own names and under others."""
    taken = {name: name for name in names} | others
    return lambda a: {option: getattr(a, name) for option, name in taken.items()}


def listing(a: Action) -> dict[str, Any]:
    """What a seller registers with."""
    terms = {"deposit": a.amount, "ask": a.extra[0], "max_tau_bps": a.extra[1]}
    return by("actor", "tags", size="value", commitment="target")(a) | terms


def request(a: Action) -> dict[str, Any]:
    """An open bid, or one that is revealed."""
    digests = {"model": a.extra[0], "metric": a.extra[1]}
    return by("job", "amount", buyer="actor", tau_bps="value")(a) | digests


LEDGER_MOVES: dict[Kind, tuple[Callable[..., Result], Fields]] = {
    Kind.WAIT: (escrow.advance, by(blocks="amount")),
    Kind.REGISTER_SELLER: (registry.register_seller, listing),
    Kind.REGISTER_NODE: (registry.register_node, by("actor", stake="amount")),
    Kind.TOP_UP: (registry.top_up, by("actor", "amount")),
    Kind.REQUEST_WITHDRAWAL: (registry.request_withdrawal, by("actor", "amount")),
    Kind.WITHDRAW: (registry.withdraw, by("actor")),
    Kind.SET_ASK: (registry.set_ask, by("actor", ask="amount", max_tau_bps="value")),
    Kind.BID: (auction.bid, lambda a: request(a) | {"tags": a.tags}),
    Kind.SEAL: (
        seals.seal,
        by("job", "tags", buyer="actor", deposit="amount", commitment="value"),
    ),
    Kind.REVEAL: (seals.reveal, lambda a: request(a) | {"salt": a.extra[2]}),
    Kind.CLOSE_AUCTION: (auction.close_auction, by("actor", "job")),
    Kind.BOOK_ROUND: (rounds.book_round, by("actor", "job")),
    Kind.BOOK_VERIFICATION: (verification.book_verification, by("actor", "job")),
    Kind.OPEN_DISPUTE: (disputes.open_dispute, by("actor", "job", unit="value")),
    Kind.BOOK_DISPUTE: (disputes.book_dispute, by("actor", "job")),
    Kind.SETTLE: (settlement.settle, by("actor", "job")),
    Kind.TIME_OUT: (escrow.time_out, by("actor", "job")),
    Kind.RESET_JOB: (escrow.reset_job, by("actor", "job")),
    Kind.TAKE: (offers.take, by("actor", "job")),
    Kind.OPEN_METRIC: (
        offers.open_metric,
        lambda a: by("actor", "job", content="value")(a) | {"salt": a.extra[0]},
    ),
    Kind.CLOSE_CASE: (
        cases.close_case,
        lambda a: (
            by("actor", "job", digest="value", finder="target")(a)
            | {"stood": a.extra[0], "proven": a.extra[1]}
        ),
    ),
    Kind.BOOK_CASE: (cases.book_case, by("actor", "job", content="payload")),
}
BOOKINGS = (Kind.BOOK_ROUND, Kind.BOOK_VERIFICATION, Kind.BOOK_DISPUTE)  # also take a decision

# Every transition of the ledger by the name of its kind, for those who walk over all of them.
TRANSITIONS = {kind.name.lower(): move for kind, (move, _) in LEDGER_MOVES.items()}
