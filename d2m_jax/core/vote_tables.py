"""A vote's rules in whole numbers: CONE makes them, a ledger and a contract read them."""

import enum
from typing import NamedTuple

import numpy as np

INFINITE = 2**30 - 1  # the score of a digest that is proved; two of them add up in int32
CERTAIN = 2**31 - 1  # the probability 1 of a seat, in 2^-31


class Score(enum.IntEnum):
    """What a stop rule adds up for a digest; it compares the best with the second best."""

    VOTES = 0  # of all sets ("lead")
    LIKELIHOOD = 1  # a table of the votes of all sets, or a sum over sets that are drawn afresh
    SQUARES = 2  # a table per set, summed ("miracle")
    LAST_SET = 3  # votes of the last set, two thirds of its seats are asked for ("majority_last")


class VoteTables(NamedTuple):
    """A stop rule with its schedule and sortition; index 0 of 2 is a unit, 1 a dispute of one."""

    rule: Score
    independent: bool  # every node has a seat with a probability, in every set afresh
    by_stake: bool
    chance: int  # of a seat, in 2^-31; 0 where sets have a size
    ends: np.ndarray  # [2, A] int32, seats given out after each set; 0 for independent sets
    rows: np.ndarray  # [2, A] int32, where the scores of a set begin
    scores: np.ndarray  # [X] int32, `scores[rows[set] + votes]`; the last one counts beyond
    bounds: np.ndarray  # [C] int32, least lead in score, by the number of rival digests less one
