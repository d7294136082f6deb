"""What compute nodes do when they are drawn. Read next: `consensus.py`.

Not here: how nodes are drawn (`sortition.py`), when a result is accepted (`stop_rules.py`), how a
node ended (`core/outcomes.py`).
"""

import enum

import numpy as np


class Behaviour(enum.IntEnum):
    """What a compute node does when it is drawn; one code per node in `behaviour [C] int32`."""

    HONEST = 0  # executes and votes for the right digest
    COLLUDE = 1  # votes for the wrong digest of its group
    LONE_LIAR = 2  # votes for a wrong digest that nobody else votes for
    SILENT = 3  # commits, never reveals
    COPY = 4  # free-loader: from the second set on, copies the leading digest it saw revealed
    ADAPTIVE = 5  # honest until lying makes its coalition (group 1) win at once


def split_stakes(
    stake: np.ndarray, byzantine: np.ndarray, parts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sybils: every Byzantine owner splits its stake evenly over `parts` identities.

    Assumes integer stakes; the remainder goes to an owner's first identities, so an owner's total
    is unchanged. Under uniform sortition a Byzantine share f becomes `parts f / (parts f + 1 - f)`
    of the pool. Under stake-weighted sortition its share of the lots, and so the whole vote, stays
    what it was, up to rounding to lots, in which splitting can only lose.

    Args:
        stake: `[C]` integer units.
        byzantine: `[C]` bool, the owners that split.
        parts: identities per Byzantine owner, at least 1.

    Returns:
        `(stake [C'], owner [C'])`, owner being the index into the original nodes; identities of an
        owner are adjacent. Runs on the host, since the number of nodes changes.

    Raises:
        ValueError: `parts` is below 1.
    """
    if parts < 1:
        raise ValueError(f"parts must be at least 1, got {parts}")
    stake, copies = np.asarray(stake), np.where(byzantine, parts, 1)
    owner = np.repeat(np.arange(len(stake)), copies)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(copies) - copies, copies)
    whole, rest = stake // copies, stake % copies
    return whole[owner] + (place < rest[owner]), owner
