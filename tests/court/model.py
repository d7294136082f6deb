"""The slow model of the court: whole lists of memories, no tree and no hash, written from the text.

A claim is the list of all memories, a step is worked out with fractions, the place where two claims
part is looked for from the front. Compare `d2m_jax/court/game.py`.
"""

import hashlib
import math
from fractions import Fraction

from d2m_jax.court.steps import Op

OK = "OK"
LIMIT = 2**31


def into_range(x):
    return min(max(x, -LIMIT), LIMIT - 1)


def after(step, memory):
    """The memory after an exact step."""
    new = list(memory)
    first = [memory[step.start + i * step.stride] for i in range(step.size)]
    second = [memory[step.start2 + i * step.stride2] for i in range(step.size2)]
    old = memory[step.into]
    if step.op == Op.HALT:
        return tuple(memory)
    if step.op == Op.DRAW:
        tickets = [i for i, m in enumerate(first) if i not in second for _ in range(m)]
        salt = step.a.to_bytes(32, "big", signed=True)
        number = int(hashlib.sha256(step.seed + salt).hexdigest(), 16)
        new[step.into] = tickets[number % len(tickets)] if tickets else -1
    elif step.op == Op.SUM:
        new[step.into] = into_range(sum(first))
    elif step.op == Op.TRIMMED_MEAN:
        row = sorted(first)
        for _ in range(step.a):
            row = row[1:-1]
        new[step.into] = math.floor(Fraction(sum(row), len(row)) + Fraction(1, 2))
    elif step.op == Op.AXPY:
        exact = Fraction(step.a * old + step.b * first[0], 2**16)
        new[step.into] = into_range(math.floor(exact + Fraction(1, 2)))
    elif step.op == Op.COUNT:
        new[step.into] = into_range(old + [r == s for r, s in zip(first, second)].count(True))
    else:
        raise AssertionError(step)
    return tuple(new)


class Slow:
    """One case. Receipts are names; money is in `purse` (claims), `paid` (accounts), `burned`."""

    def __init__(self, terms, steps, start, standing=None):
        self.terms, self.steps, self.start = terms, steps, start
        self.block, self.first, self.closed, self.winner = 0, None, False, None
        self.claims, self.purse, self.owner, self.alive = [], [], [], []
        self.duels, self.free, self.paid, self.burned = [], [], {}, 0
        self.beaten = []  # how the claim that is nobody's and has no bond has been, each time
        self.is_open = False  # two claims went out, and nobody said which was wrong
        if standing is not None:
            self.first = 0
            self.claims, self.purse, self.owner, self.alive = [standing], [0], [None], [True]

    def claim(self, actor, memories, bond):
        if self.closed:
            return "WRONG_PHASE"
        if self.first is not None and self.block > self.first + self.terms.window:
            return "TOO_LATE"
        if any(alive and c == memories for alive, c in zip(self.alive, self.claims)):
            return "ALREADY_DONE"
        if bond != self.terms.bond:
            return "NOT_ENOUGH_MONEY"
        self.first = self.block if self.first is None else self.first
        self.claims.append(memories)
        self.purse.append(bond)
        self.owner.append(actor)
        self.alive.append(True)
        if self.owner[0] is None:
            self.meet(len(self.claims) - 1, 0)
        else:
            self.free.append(len(self.claims) - 1)
            self.pair_up()
        return OK

    def pair_up(self):
        if len(self.free) == 2:
            both, self.free = self.free, []
            self.meet(*both)

    def meet(self, a, b):
        parts = [x == y for x, y in zip(self.claims[a], self.claims[b])].index(False)
        moves = (len(self.steps) + 1).bit_length() - 1
        self.duels.append(
            {"sides": [a, b], "moves": moves, "turn": 1, "at": parts, "since": self.block,
             "clock": [self.terms.budget] * 2, "over": False, "trial": self.owner[b] is None}
        )  # fmt: skip

    def fee(self, claim, actor):
        fee = min(self.terms.fee, self.purse[claim])
        self.purse[claim] -= fee
        self.paid[actor] = self.paid.get(actor, 0) + fee

    def play(self, actor, number, good):
        if not 1 <= number <= len(self.duels):
            return "UNKNOWN_JOB"
        duel = self.duels[number - 1]
        if duel["over"] or not duel["moves"]:
            return "WRONG_PHASE"
        spent = self.block - duel["since"]
        if spent > duel["clock"][duel["turn"]]:
            return "TOO_LATE"
        if not good:
            return "BAD_VALUE"
        duel["clock"][duel["turn"]] -= spent
        self.fee(duel["sides"][0 if duel["trial"] else duel["turn"]], actor)
        duel["since"], duel["turn"] = self.block, 1 - duel["turn"]
        duel["moves"] -= 1
        return OK

    def judge(self, actor, number, good):
        if not 1 <= number <= len(self.duels):
            return "UNKNOWN_JOB"
        duel = self.duels[number - 1]
        if duel["over"] or duel["moves"]:
            return "WRONG_PHASE"
        if self.block > duel["since"] + self.terms.judging:
            return "TOO_LATE"
        if not good:
            return "BAD_VALUE"
        at = duel["at"]
        sides = [self.claims[side] for side in duel["sides"]]
        step, right = self.steps[at - 1], self.start
        if at and step.op == Op.POOL:
            if not duel["trial"]:
                return "BAD_VALUE"  # the vote has said nothing
            right = sides[1][at]
        elif at:
            right = after(step, sides[0][at - 1])
        self.end(actor, duel, [side[at] == right for side in sides], "by a step")
        return OK

    def time_out(self, actor, number):
        if not 1 <= number <= len(self.duels):
            return "UNKNOWN_JOB"
        duel = self.duels[number - 1]
        if duel["over"]:
            return "WRONG_PHASE"
        stands = self.block - duel["since"]
        if duel["moves"]:
            if stands <= duel["clock"][duel["turn"]]:
                return "TOO_EARLY"
            self.end(actor, duel, [duel["turn"] == 1, duel["turn"] == 0], "by a clock")
        else:
            if stands <= self.terms.judging:
                return "TOO_EARLY"
            self.is_open = self.is_open or not duel["trial"]
            self.end(actor, duel, [False, duel["trial"]], "by a clock")
        return OK

    def end(self, actor, duel, stays, how):
        duel["over"] = True
        out = [side for side, stay in zip(duel["sides"], stays) if not stay]
        self.fee(duel["sides"][0] if duel["trial"] else out[0], actor)
        pot = sum(self.purse[side] for side in out)
        if duel["trial"]:
            if not stays[1]:
                self.beaten.append(how)
            if stays[0]:
                self.free.append(duel["sides"][0])
            out = [side for side in out if self.owner[side] is not None]
        for side in out:
            self.purse[side], self.alive[side] = 0, False
        if len(out) == 1 and not duel["trial"]:
            (stay,) = set(duel["sides"]) - set(out)
            owner = self.owner[stay]
            filled = min(self.terms.bond, self.purse[stay] + pot)
            pot -= filled - self.purse[stay]
            self.purse[stay] = filled
            prize = math.floor(Fraction(pot * self.terms.prize_bps, 10_000))
            self.paid[owner] = self.paid.get(owner, 0) + prize
            pot -= prize
            self.free.append(stay)
        self.burned += pot
        self.pair_up()

    def close(self):
        if self.closed or not all(duel["over"] for duel in self.duels):
            return "WRONG_PHASE"
        if self.first is None or self.block <= self.first + self.terms.window:
            return "TOO_EARLY"
        self.closed = True
        if self.free:
            (left,) = self.free
            owner = self.owner[left]
            self.paid[owner] = self.paid.get(owner, 0) + self.purse[left]
            self.purse[left] = 0
            if not (self.beaten and self.is_open):
                self.winner = left
        elif self.claims and self.owner[0] is None and not self.beaten:
            self.winner = 0
        return OK
