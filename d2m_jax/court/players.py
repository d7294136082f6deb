"""Who plays how: parties that make claims, answer, stall or are censored, block by block.

Everybody may send any message that is due; what a party can say is what is in the tree that it
computed. Read first: `game.py`. The same without hashes, for thousands of worlds: `tournament.py`.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from d2m_jax.court import game
from d2m_jax.court.game import Court, Duel
from d2m_jax.court.steps import Op, Run, Witness, Work, before
from d2m_jax.court.tree import Tree, Word, pair
from d2m_jax.ledger.codes import Reason

OPENER = 1  # who opens the cases in which a claim stands by right
Answers: TypeAlias = Callable[[Court, Duel], bool]


def at_once(court: Court, duel: Duel) -> bool:
    """Answers in the first block."""
    del court, duel
    return True


def never(court: Court, duel: Duel) -> bool:
    """Makes a claim and says no more."""
    del court, duel
    return False


def at_the_last(court: Court, duel: Duel) -> bool:
    """Uses up its whole clock with the last answer that it owes, none before."""
    return duel.height > 2 or court.block - duel.since >= duel.clocks[duel.turn]


class Player(NamedTuple):
    """One party."""

    actor: int
    run: Run  # what it computed, or made up
    answers: Answers = at_once
    claims: bool = True  # whether it makes its claim; a poor one only defends those of others
    since: int = 0  # block from which it is there
    reaches: Callable[[int], bool] = lambda block: True  # False: its messages are censored
    honest: bool = True  # judges last steps, for it knows the witness


class Played(NamedTuple):
    """A case to its end."""

    court: Court
    case: Word
    messages: int  # accepted: commitments, claims, answers, judgements, time-outs
    answers: int  # answers and judgements by honest players
    blocks: int  # until the case was closed

    @property
    def winner(self) -> int:
        """Number of the claim that won, 0 for none."""
        return self.court.cases[self.case].winner

    @property
    def result(self) -> Word:
        """The accepted last checkpoint."""
        return game.result_of(self.court, self.case)


def play_case(
    court: Court,
    work: Work,
    players: Sequence[Player],
    *,
    label: Word = bytes(32),
    accused: Word | None = None,
    max_blocks: int = 100_000,
) -> Played:
    """Opens the case of a unit and lets everybody play until it is closed.

    In every block each player in turn sends all messages that it can: its commitment, a block later
    its claim, answers for every claim whose tree it knows, judgements, time-outs.

    Args:
        court: before.
        work: of the unit.
        players: in the order in which they are heard.
        label: of the case.
        accused: root of the claim that stands there by right; None: no claim does.
        max_blocks: after which it should long be over.

    Raises:
        RuntimeError: the case does not end.
    """
    start = players[0].run.tree.leaves[0]
    memory = before(work, 0).tree.depth
    tree = work.program_tree
    opening = start, tree.root, work.depth, memory, label
    if accused is None:
        name = game.case_id(*opening)
        court, _ = game.open_case(court, *opening)
    else:
        name = game.case_for(*opening, accused, OPENER)
        court, _ = game.open_for(court, OPENER, *opening, accused)
    table, first = _Table(court, name, work), court.block
    for _ in range(max_blocks):
        block = table.court.block - first
        for player in players:
            if player.since <= block and player.reaches(block):
                table.turn(player, block)
        if table.do(game.close(table.court, name)):
            return Played(table.court, name, table.messages, table.honest, block)
        table.court = game.wait(table.court, 1)
    raise RuntimeError("the case does not end")


class _Table:
    """The court while a case is played, and how much was said."""

    def __init__(self, court: Court, case: Word, work: Work):
        self.court, self.case, self.work = court, case, work
        self.messages = self.honest = 0
        self.program = work.program_tree

    def do(self, result: game.Result) -> bool:
        """Takes a result over; whether it was accepted."""
        court, reason = result
        self.court = court
        self.messages += reason == Reason.OK
        return reason == Reason.OK

    def turn(self, player: Player, block: int) -> None:
        """What a player sends in a block."""
        if player.claims:
            self.claim(player)
        for number in range(1, len(self.court.duels) + 1):
            duel = self.court.duels[number - 1]
            if self.court.claims[duel.claims[0] - 1].case != self.case:
                continue
            if duel.stage == game.PLAY and self.answer(player, number, duel):
                self.honest += player.honest
            elif duel.stage == game.JUDGE and player.honest and self.judge(player, number, duel):
                self.honest += 1
            if self.court.duels[number - 1].stage != game.OVER:
                self.do(game.time_out(self.court, player.actor, number))

    def claim(self, player: Player) -> None:
        """Commits, or claims what was committed before."""
        tree, salt = player.run.tree, hashlib.sha256(b"%d" % player.actor).digest()
        digest = game.promise(self.case, tree.root, game.address(player.actor), salt)
        if digest not in self.court.commits:
            self.do(game.commit(self.court, digest))
            return
        if any(c.case == self.case and c.owner == player.actor for c in self.court.claims):
            return
        last = len(tree.leaves) - 1
        left, right = tree.children(tree.depth, 0)
        made = game.claim(
            self.court, player.actor, self.case, left, right, tree.leaves[last],
            tree.proof(0), tree.proof(last), salt, self.court.terms.bond,
        )  # fmt: skip
        self.do(made)

    def answer(self, player: Player, number: int, duel: Duel) -> bool:
        """An answer for the claim whose turn it is, if the player knows its tree and wants to."""
        row = self.court.claims[duel.claims[duel.turn] - 1]
        tree = player.run.tree
        if row.root != tree.root or not player.answers(self.court, duel):
            return False
        left, right = tree.children(duel.height, duel.place)
        low = high = game.EMPTY
        if duel.height > 1:
            low, high = tree.children(duel.height - 1, 2 * duel.place + (left == duel.left))
        return self.do(game.play(self.court, player.actor, number, left, right, low, high))

    def judge(self, player: Player, number: int, duel: Duel) -> bool:
        """The last step, shown by a player that computed the memory before it."""
        at, run = duel.place - 1, player.run
        step, memory = self.work.steps[at], before(self.work, at, run.given)
        exact = step.op not in (Op.HALT, Op.POOL)
        witness = memory.witness(step) if exact else Witness([], [])
        return self.do(
            game.judge(
                self.court,
                player.actor,
                number,
                run.tree.leaves[at],
                run.tree.proof(at),
                step,
                self.program.proof(at),
                witness,
            )
        )


def hollow(run: Run, seed: int) -> Run:
    """A claim without a preimage: between the first and the last leaf its tree is made up."""
    tree = Tree(run.tree.leaves)
    noise = (hashlib.sha256(b"%d %d" % (seed, i)).digest() for i in range(10**6))
    last = len(tree.leaves) - 1
    for height in range(tree.depth - 1):
        for leaf in (0, last):
            tree.levels[height][leaf >> height ^ 1] = next(noise)
            above = tree.levels[height + 1]
            above[leaf >> height + 1] = pair(*tree.children(height + 1, leaf >> height + 1))
    tree.levels[-1][0] = pair(*tree.levels[-2])
    return run._replace(tree=tree)
