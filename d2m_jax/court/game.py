"""The court as a pure game: claims are bisected until one step is left, and that step is judged.

Every action is `(court, ...) -> (court, Reason)`; a refused one changes nothing. The contract
`contracts/D2MCourt.vy` does the same with the same hashes. Nobody has a role: a claim is a Merkle
root, its nodes have no other preimage, so *anybody* may move for any claim and nobody can move
wrongly. Every claim has a duel of its own with the one that stands by right, so no other claim can
be in its way there; those that have beaten it meet in a tournament. Time is in blocks, money in
units. Read first: `tree.py`, `steps.py`; next: `players.py`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from d2m_jax.core.money import BPS
from d2m_jax.court.steps import LEAST, MAX_DEPTH, MAX_MEMORY, MOST, Op, Step, Witness, compute
from d2m_jax.court.tree import Word, fold, pair, word
from d2m_jax.ledger.codes import Reason

EMPTY = bytes(32)
NOBODY = 0  # owner of the claim that stands by right
MAX_CLAIMS = 2**29 - 1  # of all cases: so many bits has a number in the contract
NUM_FEES = 2 * (MAX_DEPTH + 2)  # messages that a bond must pay
PLAY, JUDGE, OVER = 1, 2, 3  # stages of a duel
A, B = 0, 1  # its sides; a claim that stands by right is always B
STANDS, SILENT, WRONG = 0, 1, 2  # what has become of that one: beaten by a clock, or by a step


class Terms(NamedTuple):
    """What holds for every case. Defaults are our choice."""

    bond: int = 10_000  # units that a claim costs; back to who wins
    fee: int = 100  # units that a message of a duel earns, out of the bond of who loses
    prize_bps: int = 5_000  # share of what is left of a loser's bond for the winner; rest burned
    window: int = 50  # blocks after the first claim of a case in which others may be made
    budget: int = 40  # blocks on the clock of each side of a duel
    judging: int = 60  # blocks for the last step


class Case(NamedTuple):
    """A unit of work about whose result claims are made."""

    start: Word  # checkpoint before it, the first leaf of every claim
    program: Word  # root of the tree of steps
    depth: int  # of a claim's tree: 2^depth - 1 steps
    memory: int  # depth of the memory's tree
    since: int = -1  # block of the first claim
    running: int = 0  # duels
    waiting: int = 0  # number of the claim without an opponent, 0: none
    winner: int = 0  # number of the claim that won
    closed: int = -1  # block in which it was closed
    standing: int = 0  # number of the claim that stands by right, 0: none does
    fallen: int = STANDS  # what has become of it
    is_contested: bool = False  # two claims are out and nobody could judge between them


class Claim(NamedTuple):
    """Somebody's word on all checkpoints of a unit.

    The claim that stands by right has no owner and no bond; of its tree only the root is known.
    """

    case: Word
    owner: int
    left: Word  # nodes below the root
    right: Word
    result: Word  # last leaf
    bond: int  # what is left of it

    @property
    def root(self) -> Word:
        """Of its tree."""
        return self.left if self.owner == NOBODY else pair(self.left, self.right)


class Duel(NamedTuple):
    """Two claims of a case; their nodes at `height`, `place` differ, all before agree."""

    claims: tuple[int, int]
    turn: int  # side that moves
    height: int
    place: int  # of the node among those of its height
    mine: Word  # node of the side that moves
    left: Word  # nodes below the other side's
    right: Word
    clocks: tuple[int, int]
    since: int
    stage: int = PLAY


class Ruling(NamedTuple):
    """What a market asks about a case."""

    block: int  # in which it was closed, -1 not yet
    root: Word = EMPTY  # that has won; EMPTY: none was left, or the case is open
    owner: int = NOBODY  # of the claim that has won
    is_proven: bool = False  # a step was judged by which what stood by right is wrong


class Court(NamedTuple):
    """All there is. Claims and duels are numbered from 1."""

    terms: Terms
    block: int = 0
    commits: Mapping[Word, int] = {}  # digest -> block
    cases: Mapping[Word, Case] = {}
    claims: tuple[Claim, ...] = ()
    duels: tuple[Duel, ...] = ()
    roots: frozenset[tuple[Word, Word]] = frozenset()  # (case, root) of the claims that stand
    balances: Mapping[int, int] = {}  # what may be taken out
    burned: int = 0
    held: int = 0  # money of the court in all, burned included

    def duel(self, number: int) -> Duel | None:
        """A duel, if there is one of that number."""
        return self.duels[number - 1] if 1 <= number <= len(self.duels) else None

    def case_of(self, duel: Duel) -> Case:
        """The case that a duel belongs to."""
        return self.cases[self.claims[duel.claims[A] - 1].case]


Result: TypeAlias = tuple[Court, Reason]


def check_terms(terms: Terms) -> None:
    """Raises a ValueError for terms under which a case is free, or cannot be answered in.

    A bond pays all messages of two duels: those of the one against the claim that stands by right
    come out of it alone. A claim takes two blocks, so the window has at least as many.
    """
    if min(terms) < 0 or terms.prize_bps > BPS:
        raise ValueError(f"no number of the terms may be negative, nor a share above 1: {terms}")
    if terms.fee < 1 or terms.bond < NUM_FEES * terms.fee:
        raise ValueError(f"a fee must be paid, and a bond must pay {NUM_FEES} messages: {terms}")
    if terms.window < 2 or terms.judging < 1:
        raise ValueError(f"a window has 2 blocks or more, the last step 1 or more: {terms}")


def case_id(start: Word, program: Word, depth: int, memory: int, label: Word) -> Word:
    """The name of a case: all that is fixed about it."""
    parts = start + program + word(depth) + word(memory) + label
    return hashlib.sha256(parts).digest()


def case_for(
    start: Word, program: Word, depth: int, memory: int, label: Word, root: Word, opener: int
) -> Word:
    """The name of a case in which a claim stands by right: longer, so never that of another case.

    It holds who opened it: nobody can open the case of a market before the market does.
    """
    parts = start + program + word(depth) + word(memory) + label + root + address(opener)
    return hashlib.sha256(parts).digest()


def promise(case: Word, root: Word, owner: Word, salt: Word) -> Word:
    """What a claimant commits to before it shows its root, so that nobody can copy it first."""
    return hashlib.sha256(case + root + owner + salt).digest()


def address(owner: int) -> Word:
    """How an owner is written in a promise: the word of its address."""
    return word(owner)


def wait(court: Court, blocks: int) -> Court:
    """Blocks pass."""
    return court._replace(block=court.block + blocks)


def is_open_to(terms: Terms, depth: int, memory: int) -> bool:
    """Whether trees of these depths can be argued about: a side has a block for each answer."""
    return 1 <= depth <= min(MAX_DEPTH, 2 * terms.budget) and 1 <= memory <= MAX_MEMORY


def open_case(
    court: Court, start: Word, program: Word, depth: int, memory: int, label: Word
) -> Result:
    """Anybody opens the case of a unit; a market knows the name of the one that it asks about.

    Checks, in order: BAD_VALUE (a tree that is too deep, or deeper than there are blocks to answer
    in), ALREADY_DONE.
    """
    name = case_id(start, program, depth, memory, label)
    if not is_open_to(court.terms, depth, memory):
        return court, Reason.BAD_VALUE
    if name in court.cases:
        return court, Reason.ALREADY_DONE
    cases = {**court.cases, name: Case(start, program, depth, memory)}
    return court._replace(cases=cases), Reason.OK


def open_for(
    court: Court,
    opener: int,
    start: Word,
    program: Word,
    depth: int,
    memory: int,
    label: Word,
    root: Word,
) -> Result:
    """Opens a case in which a claim of this root stands by right: what a vote has accepted.

    It costs no bond, and earns none. Its window runs from now; nobody has shown that it begins with
    the start, so a duel may end at the first leaf. Anybody may open cases, each in its own name.

    Checks, in order: BAD_VALUE (as of `open_case`, or no root), ALREADY_DONE, TOO_LATE (no number
    is left for a claim).
    """
    name = case_for(start, program, depth, memory, label, root, opener)
    if not is_open_to(court.terms, depth, memory) or root == EMPTY:
        return court, Reason.BAD_VALUE
    if name in court.cases:
        return court, Reason.ALREADY_DONE
    if len(court.claims) >= MAX_CLAIMS:
        return court, Reason.TOO_LATE
    standing, number = Claim(name, NOBODY, root, EMPTY, EMPTY, 0), len(court.claims) + 1
    case = Case(start, program, depth, memory, since=court.block, standing=number)
    court = court._replace(
        claims=(*court.claims, standing),
        cases={**court.cases, name: case},
        roots=court.roots | {(name, root)},
    )
    return court, Reason.OK


def commit(court: Court, digest: Word) -> Result:
    """Announces a claim. Checks: ALREADY_DONE."""
    if digest in court.commits:
        return court, Reason.ALREADY_DONE
    return court._replace(commits={**court.commits, digest: court.block}), Reason.OK


def claim(
    court: Court,
    actor: int,
    case: Word,
    left: Word,
    right: Word,
    result: Word,
    first: Sequence[Word],
    last: Sequence[Word],
    salt: Word,
    value: int,
) -> Result:
    """Makes a claim, which meets at once the one that stands by right, or else the one that waits.

    Checks, in order: UNKNOWN_JOB, WRONG_PHASE (closed), TOO_LATE (the window is over, or no number
    is left), BAD_VALUE (the first leaf is not the start, or the last not the result), ALREADY_DONE
    (this root stands; one that is out may be claimed again, so that nobody can use up the truth by
    deserting it), TOO_EARLY (not committed in an earlier block), NOT_ENOUGH_MONEY (not the bond).

    Args:
        court: before.
        actor: owner of the claim.
        case: its name.
        left, right: nodes below the root.
        result: last leaf.
        first, last: siblings of the first and the last leaf, from the bottom.
        salt: of the promise.
        value: units sent along.
    """
    about, root = court.cases.get(case), pair(left, right)
    if about is None:
        return court, Reason.UNKNOWN_JOB
    if about.closed >= 0:
        return court, Reason.WRONG_PHASE
    if about.since >= 0 and court.block - about.since > court.terms.window:
        return court, Reason.TOO_LATE
    if len(court.claims) >= MAX_CLAIMS:
        return court, Reason.TOO_LATE
    if not (
        len(first) == len(last) == about.depth
        and fold(about.start, 0, first) == root
        and fold(result, 2**about.depth - 1, last) == root
    ):
        return court, Reason.BAD_VALUE
    if (case, root) in court.roots:
        return court, Reason.ALREADY_DONE
    if court.commits.get(promise(case, root, address(actor), salt), court.block) >= court.block:
        return court, Reason.TOO_EARLY
    if value != court.terms.bond:
        return court, Reason.NOT_ENOUGH_MONEY
    made = Claim(case, actor, left, right, result, value)
    if about.since < 0:
        about = about._replace(since=court.block)
    number = len(court.claims) + 1
    court = court._replace(
        claims=(*court.claims, made),
        cases={**court.cases, case: about},
        roots=court.roots | {(case, root)},
        held=court.held + value,
    )
    if about.standing:
        return _meet(court, number, about.standing), Reason.OK
    return _match(court, number), Reason.OK


def play(
    court: Court, actor: int, duel: int, left: Word, right: Word, low: Word, high: Word
) -> Result:
    """The side whose turn it is shows two levels of its tree; the duel goes down by one.

    With `left`, `right` the nodes below its node: the first that differs from the other side's is
    gone into. Above the leaves `low`, `high` are the nodes below that one. Who sends the message
    earns the fee out of the bond of the claim for which it is; for a claim that stands by right,
    which has none, out of that of its opponent.

    Checks, in order: UNKNOWN_JOB, WRONG_PHASE (not PLAY), TOO_LATE (the clock is out), BAD_VALUE
    (not the nodes below).
    """
    now = court.duel(duel)
    if now is None:
        return court, Reason.UNKNOWN_JOB
    if now.stage != PLAY:
        return court, Reason.WRONG_PHASE
    spent = court.block - now.since
    if spent > now.clocks[now.turn]:
        return court, Reason.TOO_LATE
    goes_right = left == now.left
    mine, theirs = (right, now.right) if goes_right else (left, now.left)
    if pair(left, right) != now.mine or (now.height > 1 and pair(low, high) != mine):
        return court, Reason.BAD_VALUE
    clocks = list(now.clocks)
    clocks[now.turn] -= spent
    after = now._replace(
        turn=1 - now.turn,
        height=now.height - 1,
        place=2 * now.place + goes_right,
        mine=theirs,  # of the side that moves next
        left=low,
        right=high,
        clocks=(clocks[A], clocks[B]),
        since=court.block,
    )
    if now.height == 1:  # leaves: A's on the left
        leaves = (mine, theirs) if now.turn == A else (theirs, mine)
        after = after._replace(stage=JUDGE, left=leaves[A], right=leaves[B], mine=EMPTY)
    payer = A if _is_accused(court, now) else now.turn
    return _pay_fee(_set_duel(court, duel, after), now.claims[payer], actor), Reason.OK


def judge(
    court: Court,
    actor: int,
    duel: int,
    checkpoint: Word,
    proof: Sequence[Word],
    step: Step,
    step_proof: Sequence[Word],
    witness: Witness,
) -> Result:
    """Computes the step about which two claims differ; whoever is wrong is out, perhaps both.

    A step for the pool is what the vote has said: there the claim that stands by right is right,
    and nothing can be judged between two others.

    Checks, in order: UNKNOWN_JOB, WRONG_PHASE (not JUDGE), TOO_LATE, BAD_VALUE (not the checkpoint
    before the step, not the step of the program, a witness that does not belong to it, a step that
    makes no sense, or one for the pool between two others). Where the first leaf is in question it
    is the start, and nothing needs to be shown.

    Args:
        court: before.
        actor: who sends it, and earns a fee.
        duel: number.
        checkpoint: the last one on which both agree.
        proof: its siblings in the tree of either side.
        step: of the program.
        step_proof: its siblings in the program's tree.
        witness: of what the step reads; empty for HALT and POOL.
    """
    now = court.duel(duel)
    if now is None:
        return court, Reason.UNKNOWN_JOB
    if now.stage != JUDGE:
        return court, Reason.WRONG_PHASE
    if court.block - now.since > court.terms.judging:
        return court, Reason.TOO_LATE
    case, at = court.case_of(now), now.place - 1
    if now.place == 0:
        right = case.start
        return _judged(court, duel, right, actor), Reason.OK
    sides = [court.claims[number - 1] for number in now.claims]
    if not (
        len(proof) == len(step_proof) == case.depth
        and fold(checkpoint, at, proof) in [side.root for side in sides]
        and fold(step.digest, at, step_proof) == case.program
    ):
        return court, Reason.BAD_VALUE
    if step.op == Op.POOL:
        computed = now.right if _is_accused(court, now) else None
    else:
        computed = next_checkpoint(checkpoint, step, witness, case.memory)
    if computed is None:
        return court, Reason.BAD_VALUE
    return _judged(court, duel, computed, actor), Reason.OK


def _judged(court: Court, duel: int, right: Word, actor: int) -> Court:
    """Whoever has not this checkpoint is out."""
    now = court.duels[duel - 1]
    return _end(court, duel, (now.left == right, now.right == right), actor, WRONG)


def next_checkpoint(checkpoint: Word, step: Step, witness: Witness, memory: int) -> Word | None:
    """The checkpoint after an exact step; None if the witness does not fit or the step is none."""
    if step.op == Op.HALT:
        return checkpoint
    if not step.is_sane or not all(LEAST <= value <= MOST for value in witness.values):
        return None
    reads, limit = step.reads, 2**memory
    if len(witness.values) != len(reads) or len(witness.proofs) != memory * len(reads):
        return None
    for i, (at, value) in enumerate(zip(reads, witness.values)):
        siblings = witness.proofs[i * memory : (i + 1) * memory]
        if not 0 <= at < limit or fold(word(value), at, siblings) != checkpoint:
            return None
    try:
        return fold(word(compute(step, witness.values)), step.into, witness.proofs[-memory:])
    except ValueError:
        return None


def time_out(court: Court, actor: int, duel: int) -> Result:
    """Anybody ends a duel that stands still: the side whose clock is out loses; at the last step,
    where anybody could have shown the witness, both do, but for a claim that stands by right: who
    has not shown what is wrong with it has lost.

    Checks, in order: UNKNOWN_JOB, WRONG_PHASE (over), TOO_EARLY.
    """
    now = court.duel(duel)
    if now is None:
        return court, Reason.UNKNOWN_JOB
    if now.stage == OVER:
        return court, Reason.WRONG_PHASE
    limit = now.clocks[now.turn] if now.stage == PLAY else court.terms.judging
    if court.block - now.since <= limit:
        return court, Reason.TOO_EARLY
    stays = now.turn == B, now.turn == A
    if now.stage == JUDGE:
        stays = False, _is_accused(court, now)
    return _end(court, duel, stays, actor, SILENT), Reason.OK


def close(court: Court, case: Word) -> Result:
    """The window is over and no duel runs: the claim that is left, if any, has won; that is the one
    that stands by right, unless somebody has beaten it.

    If it has fallen and the case is contested, none has won. Of two claims that a step for the pool
    parts one may be the truth, and both are out: what is left then has not been held against it.

    Checks, in order: UNKNOWN_JOB, WRONG_PHASE (closed, or duels run), TOO_EARLY.
    """
    about = court.cases.get(case)
    if about is None:
        return court, Reason.UNKNOWN_JOB
    if about.closed >= 0 or about.running:
        return court, Reason.WRONG_PHASE
    if about.since < 0 or court.block - about.since <= court.terms.window:
        return court, Reason.TOO_EARLY
    if about.waiting:
        won = court.claims[about.waiting - 1]
        court = _credit(court, won.owner, won.bond)
        court = _set_claim(court, about.waiting, won._replace(bond=0))
    winner = about.waiting if about.fallen or not about.standing else about.standing
    if about.fallen and about.is_contested:
        winner = 0
    done = about._replace(closed=court.block, winner=winner)
    return court._replace(cases={**court.cases, case: done}), Reason.OK


def pay_out(court: Court, actor: int) -> Result:
    """All that an account has goes out. Checks: NOT_ENOUGH_MONEY (it has nothing)."""
    units = court.balances.get(actor, 0)
    if not units:
        return court, Reason.NOT_ENOUGH_MONEY
    return _credit(court, actor, -units)._replace(held=court.held - units), Reason.OK


def result_of(court: Court, case: Word) -> Word:
    """The accepted result of a closed case; EMPTY where it is open or no claim was left."""
    about = court.cases[case]
    return court.claims[about.winner - 1].result if about.winner else EMPTY


def ruling(court: Court, case: Word) -> Ruling:
    """What a market asks about a case."""
    about = court.cases.get(case)
    if about is None:
        return Ruling(-1)
    is_proven = about.closed >= 0 and about.fallen == WRONG
    if not about.winner:
        return Ruling(about.closed, is_proven=is_proven)
    won = court.claims[about.winner - 1]
    return Ruling(about.closed, won.root, won.owner, is_proven)


def _is_accused(court: Court, duel: Duel) -> bool:
    """Whether a duel is about the claim that stands by right."""
    return court.claims[duel.claims[B] - 1].owner == NOBODY


def _match(court: Court, number: int) -> Court:
    """A claim without an opponent waits, or meets the one that does."""
    name = court.claims[number - 1].case
    case = court.cases[name]
    if not case.waiting:
        cases = {**court.cases, name: case._replace(waiting=number)}
        return court._replace(cases=cases)
    cases = {**court.cases, name: case._replace(waiting=0)}
    return _meet(court._replace(cases=cases), case.waiting, number)


def _meet(court: Court, first: int, second: int) -> Court:
    """A duel begins. A's children are known from its claim: B, of which only the root may be known,
    moves first."""
    a, b = (court.claims[i - 1] for i in (first, second))
    case = court.cases[a.case]
    duel = Duel(
        claims=(first, second),
        turn=B,
        height=case.depth,
        place=0,
        mine=b.root,
        left=a.left,
        right=a.right,
        clocks=(court.terms.budget, court.terms.budget),
        since=court.block,
    )
    case = case._replace(running=case.running + 1)
    return court._replace(duels=(*court.duels, duel), cases={**court.cases, a.case: case})


def _end(court: Court, number: int, stays: tuple[bool, bool], actor: int, how: int) -> Court:
    """Who is wrong is out; the winner's bond is filled up from the loser's and it is free again.

    Of the rest of a loser's bond the sender gets the fee, the winner's owner prize_bps of what is
    left then, and the remainder is burned: challenger and liar who are one lose by it. A claim that
    stands by right is never out, it has fallen (`how`: SILENT or WRONG); who beats it wins nothing
    here, and its own bond is not filled up. Where two others are out by a clock, the case is
    contested: nobody could judge between them.
    """
    duel = court.duels[number - 1]
    court = _set_duel(court, number, duel._replace(stage=OVER))
    name = court.claims[duel.claims[A] - 1].case
    case, accused = court.cases[name], _is_accused(court, duel)
    fallen = max(case.fallen, how) if accused and not stays[B] else case.fallen
    is_open = how == SILENT and not any(stays)  # between two others: B stays if it is accused
    is_contested = case.is_contested or is_open
    case = case._replace(running=case.running - 1, fallen=fallen, is_contested=is_contested)
    court = court._replace(cases={**court.cases, name: case})
    losers = [duel.claims[side] for side in (A, B) if not stays[side]]
    if losers:  # none only where both have the same leaf, which cannot be
        court = _pay_fee(court, duel.claims[A] if accused else losers[0], actor)
    losers = [loser for loser in losers if loser != case.standing]
    pot = sum(court.claims[loser - 1].bond for loser in losers)
    for loser in losers:
        lost = court.claims[loser - 1]
        court = _set_claim(court, loser, lost._replace(bond=0))
        court = court._replace(roots=court.roots - {(name, lost.root)})
    if not any(stays) or (accused and not stays[A]):
        return court._replace(burned=court.burned + pot)
    winner = duel.claims[A if stays[A] else B]
    won = court.claims[winner - 1]
    fill = min(court.terms.bond - won.bond, pot)
    prize = (pot - fill) * court.terms.prize_bps // BPS
    court = _set_claim(court, winner, won._replace(bond=won.bond + fill))
    court = _credit(court, won.owner, prize)._replace(burned=court.burned + pot - fill - prize)
    return _match(court, winner)


def _pay_fee(court: Court, claim: int, actor: int) -> Court:
    row = court.claims[claim - 1]
    fee = min(court.terms.fee, row.bond)
    return _credit(_set_claim(court, claim, row._replace(bond=row.bond - fee)), actor, fee)


def _credit(court: Court, actor: int, units: int) -> Court:
    balances = {**court.balances, actor: court.balances.get(actor, 0) + units}
    return court._replace(balances=balances)


def _set_claim(court: Court, number: int, row: Claim) -> Court:
    rows = (*court.claims[: number - 1], row, *court.claims[number:])
    return court._replace(claims=rows)


def _set_duel(court: Court, number: int, row: Duel) -> Court:
    rows = (*court.duels[: number - 1], row, *court.duels[number:])
    return court._replace(duels=rows)
