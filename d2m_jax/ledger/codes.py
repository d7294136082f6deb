"""The small integers of the ledger: phases, action kinds, verdicts and refusals.

No state and no money here. Read next: `state.py`.
"""

import enum


class Phase(enum.IntEnum):
    """Where a job is. The last three are final until the slot is reset."""

    IDLE = 0  # the slot is free: the first valid bid or seal opens an auction
    AUCTION = 1  # buyers bid, or seal and then reveal; their deposits are held
    MATCHED = 2  # the price is fixed, sellers are matched, no round booked yet
    TRAINING = 3  # at least one round booked
    VERIFY = 4  # all rounds booked, the metric is not known yet
    CHALLENGE = 5  # the metric is known, reached or missed: the dispute window runs
    DISPUTED = 6  # a unit is executed again, against a bond
    SETTLED = 7  # paid
    REFUNDED = 8  # metric missed and not disputed, a round overturned, or timed out
    ABORTED = 9  # nobody revealed, or too few sellers or nodes


FINISHED = (Phase.SETTLED, Phase.REFUNDED, Phase.ABORTED)

# What one accepted action may do to the phase of a job (staying put is always legal).
NEXT_PHASES: dict[Phase, tuple[Phase, ...]] = {
    Phase.IDLE: (Phase.AUCTION,),
    Phase.AUCTION: (Phase.MATCHED, Phase.ABORTED),
    Phase.MATCHED: (Phase.TRAINING, Phase.VERIFY, Phase.REFUNDED),
    Phase.TRAINING: (Phase.VERIFY, Phase.REFUNDED),
    Phase.VERIFY: (Phase.CHALLENGE, Phase.SETTLED, Phase.REFUNDED),
    Phase.CHALLENGE: (Phase.DISPUTED, Phase.SETTLED, Phase.REFUNDED),
    Phase.DISPUTED: (Phase.CHALLENGE, Phase.REFUNDED),
    Phase.SETTLED: (Phase.IDLE,),
    Phase.REFUNDED: (Phase.IDLE,),
    Phase.ABORTED: (Phase.IDLE,),
}


class Reason(enum.IntEnum):
    """The receipt of an action: OK, or the first check that failed."""

    OK = 0
    UNKNOWN_PARTY = 1
    UNKNOWN_JOB = 2
    NOT_AUTHORISED = 3
    BANNED = 4
    NOT_REGISTERED = 5
    ALREADY_DONE = 6
    WRONG_PHASE = 7
    TOO_EARLY = 8
    TOO_LATE = 9
    BAD_VALUE = 10
    WRONG_TAGS = 11
    TAGS_TAKEN = 12
    BID_TOO_LOW = 13
    DEPOSIT_TOO_LOW = 14
    NOT_ENOUGH_MONEY = 15
    UNKNOWN_ACTION = 16
    WRONG_FORMAT = 17


REASON_TEXT: dict[Reason, str] = {
    Reason.OK: "done",
    Reason.UNKNOWN_PARTY: "no such account, or it cannot be named here",
    Reason.UNKNOWN_JOB: "no such job slot",
    Reason.NOT_AUTHORISED: "this account may not do that",
    Reason.BANNED: "the account is banned",
    Reason.NOT_REGISTERED: "the account is not registered",
    Reason.ALREADY_DONE: "that has been done before",
    Reason.WRONG_PHASE: "the job is not in a phase that allows it",
    Reason.TOO_EARLY: "the waiting time is not over",
    Reason.TOO_LATE: "the window is over",
    Reason.BAD_VALUE: "a value is outside its range",
    Reason.WRONG_TAGS: "the bid asks for other tags than the open auction",
    Reason.TAGS_TAKEN: "another slot already auctions these tags",
    Reason.BID_TOO_LOW: "the bid is below the reserve, or raises the own one by too little",
    Reason.DEPOSIT_TOO_LOW: "the deposit or stake is below the minimum",
    Reason.NOT_ENOUGH_MONEY: "the account cannot pay that",
    Reason.UNKNOWN_ACTION: "no such kind of action",
    Reason.WRONG_FORMAT: "the auctions or the disputes of this market have another format",
}


def describe(reason: int) -> str:
    """One line of text for a receipt, e.g. `BID_TOO_LOW: the bid is below ...`."""
    code = Reason(int(reason))
    return f"{code.name}: {REASON_TEXT[code]}"


class Verdict(enum.IntEnum):
    """What the defence said about a seller in one round."""

    NOT_SAMPLED = 0
    ACCEPTED = 1
    FLAGGED = 2


class Kind(enum.IntEnum):
    """The kinds of action; those from OPEN_UNIT on are actions of the votes."""

    WAIT = 0
    REGISTER_SELLER = 1
    REGISTER_NODE = 2
    TOP_UP = 3
    REQUEST_WITHDRAWAL = 4
    WITHDRAW = 5
    SET_ASK = 6
    BID = 7
    SEAL = 8
    REVEAL = 9
    CLOSE_AUCTION = 10
    BOOK_ROUND = 11
    BOOK_VERIFICATION = 12
    OPEN_DISPUTE = 13
    BOOK_DISPUTE = 14
    SETTLE = 15
    TIME_OUT = 16
    RESET_JOB = 17
    TAKE = 18
    OPEN_METRIC = 19
    CLOSE_CASE = 20
    BOOK_CASE = 21
    OPEN_UNIT = 22
    DRAW = 23
    COMMIT_VOTE = 24
    REVEAL_VOTE = 25
    TALLY = 26
    OPEN_CONTENT = 27
