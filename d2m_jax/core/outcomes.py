"""How a compute node ended a unit of work: what CONE finds and the ledger books."""

import enum


class Outcome(enum.IntEnum):
    """How one node ended one unit of work."""

    NOT_DRAWN = 0  # or drawn in a unit without a result: neither paid nor slashed
    MATCHED = 1  # revealed the accepted digest: paid
    WRONG = 2  # revealed another digest, or its salted digest was not its own work: slashed
    SILENT = 3  # was drawn and revealed nothing: a small slash
