"""One unit of work put to the vote: seats, commitments, reveals, the count, the content.

Nobody has a part in it that others have not: a unit is opened, drawn and counted by anybody, and
votes are those of the seats. Chance comes from outside (a contract derives seats from its seed);
money is not known here. Read first: `votes_state.py`; next: `votes_machine.py`.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from d2m_jax.core.money import mul_div, total
from d2m_jax.core.outcomes import Outcome
from d2m_jax.core.vote_tables import CERTAIN
from d2m_jax.ledger.accounts import Check, first_failure, integer
from d2m_jax.ledger.codes import Reason
from d2m_jax.ledger.contents import commitment_of, is_well_formed, task_of, words_of
from d2m_jax.ledger.counting import count, is_enough
from d2m_jax.ledger.mixing import mix_all
from d2m_jax.ledger.votes_state import (
    Counted,
    Stage,
    Terms,
    Votes,
    is_dispute,
)


def get_unit(votes: Votes, job: jax.Array) -> Votes:
    """Row `job`; an index out of range reads some other row (check it apart)."""
    index = jnp.clip(job, 0, votes.stage.shape[0] - 1)
    return jax.tree.map(lambda x: x[index], votes)


def put_unit(reason: jax.Array, row: Votes, votes: Votes, job: jax.Array) -> Counted:
    """Writes the row if the receipt is OK, else nothing; with the receipt."""
    here = (jnp.arange(votes.stage.shape[0], dtype=jnp.int32) == job) & (reason == Reason.OK)

    def write(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(here.reshape(here.shape + (1,) * (old.ndim - 1)), new[None], old)

    return jax.tree.map(write, row, votes), reason


def check_slot(votes: Votes, job: jax.Array) -> Check:
    """UNKNOWN_JOB unless the slot exists."""
    return Reason.UNKNOWN_JOB, (job < 0) | (job >= votes.stage.shape[0])


def check_stage(row: Votes, stage: Stage) -> list[Check]:
    """ALREADY_DONE when the unit has ended, WRONG_PHASE unless it is at this stage."""
    ended = row.stage >= Stage.DECIDED
    return [(Reason.ALREADY_DONE, ended), (Reason.WRONG_PHASE, row.stage != stage)]


def check_seat(votes: Votes, row: Votes, job: jax.Array, node: jax.Array) -> list[Check]:
    """The checks that a vote begins with: a node, a slot, a set that votes, a seat in it."""
    mine = row.first_set[jnp.clip(node, 0, row.urn.shape[0] - 1)]
    return [
        (Reason.UNKNOWN_PARTY, (node < 0) | (node >= row.urn.shape[0])),
        check_slot(votes, job),
        *check_stage(row, Stage.VOTING),
        (Reason.NOT_AUTHORISED, mine != row.attempt),
    ]


def lots_of(stakes: jax.Array, terms: Terms) -> jax.Array:
    """[C] int32: what each node has in the urn when a unit opens.

    Sets with a size: one lot each, or by stake floor(stake / quantum) lots with quantum =
    ceil(total / max(1024, 4 C)), as CONE cuts stake. Independent sets: the chance of a seat in
    2^-31, or by stake chance * stake / floor(mean stake), at most 1 - 2^-31.

    Args:
        stakes: [C] units at risk of each node, not positive for who is not eligible; a total of
            the others that fits their type.
        terms: of the vote.
    """
    stakes = jnp.maximum(stakes, 0)
    there = stakes > 0
    pledged, number = total(stakes), there.sum(dtype=stakes.dtype)
    most = max(1024, 4 * stakes.shape[0])
    lots = stakes // jnp.maximum((pledged - 1) // most + 1, 1)
    lots = jnp.where(terms.by_stake != 0, lots, there.astype(stakes.dtype))
    mean = jnp.maximum(pledged // jnp.maximum(number, 1), 1)
    alike = terms.chance.astype(stakes.dtype)
    whole, rest = stakes // mean, mul_div(alike, stakes % mean, mean)
    fits = whole <= (CERTAIN - rest) // jnp.maximum(alike, 1)
    by_stake = jnp.where(fits, jnp.where(fits, whole, 0) * alike + rest, CERTAIN)
    chance = jnp.where(terms.by_stake != 0, by_stake, jnp.where(there, alike, 0))
    return jnp.where(terms.independent != 0, chance, lots).astype(jnp.int32)


def open_unit(
    votes: Votes,
    terms: Terms,
    *,
    job: int | jax.Array,
    serial: int | jax.Array,
    unit: int | jax.Array,
    stakes: jax.Array,
) -> Counted:
    """Anybody opens the unit that the market asks for; the electorate is what it is now.

    Whoever leaves, is slashed or banned from now on keeps its seat in this unit, and no more lots.
    What was in the slot before is gone: the market does not ask for a unit before it has read the
    outcome of the last one. Without any lot the unit has FAILED at once.

    Checks, in order: UNKNOWN_JOB, WRONG_PHASE (the market asks for none), ALREADY_DONE (it is open,
    or over), BAD_VALUE (no such unit).

    Args:
        votes: before.
        terms: of the vote.
        job: slot.
        serial: number of the market's request, at least 1, never used twice for a slot.
        unit: see `Terms.num_rounds`.
        stakes: [C] units, as for `lots_of`.
    """
    job, serial, unit, stakes = integer(job), integer(serial), integer(unit), jnp.asarray(stakes)
    row = get_unit(votes, job)
    reason = first_failure(
        [
            check_slot(votes, job),
            (Reason.WRONG_PHASE, serial < 1),
            (Reason.ALREADY_DONE, serial == row.serial),
            (Reason.BAD_VALUE, is_unknown(unit, terms)),
        ]
    )
    return put_unit(reason, opened(row, terms, serial, unit, stakes), votes, job)


def is_unknown(unit: jax.Array, terms: Terms) -> jax.Array:
    """[] bool: no round, no verification and no dispute of one."""
    return (unit < 0) | (unit - terms.num_rounds > terms.num_rounds + 1)


def opened(
    row: Votes, terms: Terms, serial: jax.Array, unit: jax.Array, stakes: jax.Array
) -> Votes:
    """A row with a unit that has just been opened."""
    urn = lots_of(stakes, terms)
    voters = jnp.where(terms.independent != 0, (urn > 0).astype(jnp.int32), urn)
    pool = voters.sum(dtype=jnp.int32)
    stage = jnp.where(pool > 0, integer(Stage.OPEN), integer(Stage.FAILED))
    blank = jax.tree.map(jnp.zeros_like, row)
    return replace(blank, serial=serial, unit=unit, stage=stage, pool=pool, urn=urn)


def draw(
    votes: Votes,
    terms: Terms,
    *,
    block: int | jax.Array,
    job: int | jax.Array,
    seats: jax.Array,
) -> Counted:
    """Anybody has the next set drawn.

    A node votes once, in the first set that it sits in; lots of it that are drawn later count for
    the digest that it has revealed, and for nothing if it was silent.

    Checks, in order: UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE (not OPEN), BAD_VALUE (seats that
    chance cannot give: another number of them than the schedule says, or lots that are not there).

    Args:
        votes: before.
        terms: of the vote.
        block: now.
        job: slot.
        seats: [C] int32 lots of each node in the set.
    """
    block, job, seats = integer(block), integer(job), integer(seats)
    row = get_unit(votes, job)
    fair = can_be(row, terms, seats)
    reason = first_failure(
        [
            check_slot(votes, job),
            *check_stage(row, Stage.OPEN),
            (Reason.BAD_VALUE, ~fair),
        ]
    )
    return put_unit(reason, seated(row, terms, block, jnp.where(fair, seats, 0)), votes, job)


def can_be(row: Votes, terms: Terms, seats: jax.Array) -> jax.Array:
    """[] bool: whether the next set may have these seats [C]."""
    most = jnp.where(terms.independent != 0, (row.urn > 0).astype(jnp.int32), row.urn)
    there = jnp.all((seats >= 0) & (seats <= most))
    number = jnp.where(there, seats, 0).sum(dtype=jnp.int32)
    return there & ((terms.independent != 0) | (number == next_size(row, terms)))


def next_size(row: Votes, terms: Terms) -> jax.Array:
    """[] int32: seats of the next set, where sets have a size."""
    end = terms.ends[is_dispute(row, terms), jnp.minimum(row.attempt, terms.ends.shape[1] - 1)]
    return jnp.minimum(end, row.pool) - row.drawn


def seated(row: Votes, terms: Terms, block: jax.Array, seats: jax.Array) -> Votes:
    """A row whose next set has just been drawn."""
    size, attempt = seats.sum(dtype=jnp.int32), row.attempt + 1
    taken = jnp.where(terms.independent != 0, 0, seats)
    return replace(
        row,
        stage=integer(Stage.VOTING),
        attempt=attempt,
        since=block,
        drawn=row.drawn + size,
        size=size,
        urn=row.urn - taken,
        lots=row.lots + seats,
        seats=seats,
        first_set=jnp.where((seats > 0) & (row.first_set == 0), attempt, row.first_set),
    )


def commit_vote(
    votes: Votes,
    terms: Terms,
    *,
    block: int | jax.Array,
    job: int | jax.Array,
    node: int | jax.Array,
    commitment: int | jax.Array,
) -> Counted:
    """A node of the latest set commits to a digest; see `contents.commitment_of`.

    Checks, in order: UNKNOWN_PARTY (no node), UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE (not
    VOTING), NOT_AUTHORISED (no seat in this set, or it votes with an earlier one), TOO_LATE
    (commit_window over), BAD_VALUE (0), ALREADY_DONE (committed).
    """
    block, job, node, commitment = map(integer, (block, job, node, commitment))
    row = get_unit(votes, job)
    here = jnp.arange(row.urn.shape[0], dtype=jnp.int32) == node
    reason = first_failure(
        [
            *check_seat(votes, row, job, node),
            (Reason.TOO_LATE, block - row.since >= terms.commit_window),
            (Reason.BAD_VALUE, commitment == 0),
            (Reason.ALREADY_DONE, jnp.any(here & (row.commitments != 0))),
        ]
    )
    new = replace(row, commitments=jnp.where(here, commitment, row.commitments))
    return put_unit(reason, new, votes, job)


def reveal_vote(
    votes: Votes,
    terms: Terms,
    *,
    block: int | jax.Array,
    job: int | jax.Array,
    node: int | jax.Array,
    digest: int | jax.Array,
    salt: int | jax.Array,
) -> Counted:
    """A node opens its commitment, after the last block for commitments.

    Checks, in order: UNKNOWN_PARTY (no node), UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE (not
    VOTING), NOT_AUTHORISED (no seat in this set, or it votes with an earlier one), TOO_EARLY
    (commit_window not over), TOO_LATE (reveal_window over), ALREADY_DONE (revealed), BAD_VALUE
    (digest 0, or not what was committed; also without a commitment).
    """
    block, job, node, digest, salt = map(integer, (block, job, node, digest, salt))
    row = get_unit(votes, job)
    here = jnp.arange(row.urn.shape[0], dtype=jnp.int32) == node
    fits = jnp.any(here & (row.commitments == commitment_of(row, job, node, digest, salt)))
    late = block - row.since - terms.commit_window
    reason = first_failure(
        [
            *check_seat(votes, row, job, node),
            (Reason.TOO_EARLY, late < 0),
            (Reason.TOO_LATE, late >= terms.reveal_window),
            (Reason.ALREADY_DONE, jnp.any(here & (row.digests != 0))),
            (Reason.BAD_VALUE, (digest == 0) | ~fits),
        ]
    )
    new = replace(row, digests=jnp.where(here, digest, row.digests))
    return put_unit(reason, new, votes, job)


def tally(votes: Votes, terms: Terms, *, block: int | jax.Array, job: int | jax.Array) -> Counted:
    """Anybody has the votes counted: a digest is accepted, or a further set can be drawn.

    When the stop rule accepts nothing and no lot is left, the plurality is accepted; a tie is
    FAILED, and so is a unit that runs out of sets.

    Checks, in order: UNKNOWN_JOB, ALREADY_DONE or WRONG_PHASE (not VOTING), TOO_EARLY (a node of
    this set may still reveal).
    """
    block, job = integer(block), integer(job)
    row = get_unit(votes, job)
    waits = block - row.since < terms.commit_window + terms.reveal_window
    reason = first_failure(
        [
            check_slot(votes, job),
            *check_stage(row, Stage.VOTING),
            (Reason.TOO_EARLY, waits & jnp.any(is_new(row) & (row.digests == 0))),
        ]
    )
    return put_unit(reason, counted(row, terms), votes, job)


def is_new(row: Votes) -> jax.Array:
    """[C] bool: nodes that vote with the latest set."""
    return (row.first_set == row.attempt) & (row.attempt > 0)


def counted(row: Votes, terms: Terms) -> Votes:
    """A row whose latest set has just been counted."""
    found = count(row, terms)
    accept = is_enough(found, row.size, terms)
    is_empty = (terms.independent == 0) & (row.drawn >= row.pool)
    plural = is_empty & (found.by_votes.first > found.by_votes.second)
    digest = jnp.where(plural, found.by_votes.digest, 0)
    digest = jnp.where(accept, found.by_score.digest, digest)
    over = is_empty | (row.attempt >= terms.ends.shape[1])
    stage = jnp.where(over, integer(Stage.FAILED), integer(Stage.OPEN))
    stage = jnp.where(digest != 0, integer(Stage.DECIDED), stage)
    return replace(row, stage=stage, accepted=digest, points=found.points)


def open_content(
    votes: Votes, terms: Terms, *, job: int | jax.Array, content: jax.Array
) -> Counted:
    """Anybody tells what the accepted digest stands for.

    Checks, in order: UNKNOWN_JOB, WRONG_PHASE (not DECIDED), ALREADY_DONE (told before), BAD_VALUE
    (another digest, or a field out of its range, also that of int32).

    Args:
        votes: before.
        terms: of the vote.
        job: slot.
        content: [L] int32, see `contents.round_content` and `contents.verification_content`.
    """
    job, (content, are_words) = integer(job), words_of(content)
    row = get_unit(votes, job)
    is_verification = task_of(row.unit, terms) == terms.num_rounds
    fits = (mix_all(content) == row.accepted) & is_well_formed(content, is_verification)
    fits = fits & are_words
    reason = first_failure(
        [
            check_slot(votes, job),
            (Reason.WRONG_PHASE, row.stage != Stage.DECIDED),
            (Reason.ALREADY_DONE, row.is_open),
            (Reason.BAD_VALUE, ~fits),
        ]
    )
    return put_unit(reason, replace(row, content=content, is_open=jnp.bool_(True)), votes, job)


def outcomes(row: Votes) -> jax.Array:
    """[C] int32, codes of `Outcome`: how every node ended a unit that is over.

    When nothing was accepted nobody is right or wrong: only silence is noted.

    Args:
        row: of one slot, DECIDED or FAILED (`get_unit`).
    """
    right = jnp.where(row.digests == row.accepted, Outcome.MATCHED, Outcome.WRONG)
    judged = jnp.where(row.accepted != 0, right, Outcome.NOT_DRAWN)
    judged = jnp.where(row.digests == 0, Outcome.SILENT, judged)
    return jnp.where(row.first_set == 0, Outcome.NOT_DRAWN, judged).astype(jnp.int32)
