"""What somebody might do next in the vote that a job asks for, up to its booking.

Part of the generator of `traces.py`. A digest of nonsense, a request that is not the buyer's, a
content that nobody tells, split opinions and rounds judged anew the other way are all made up.
"""

from d2m_jax.ledger.codes import Kind, Phase
from d2m_jax.ledger.votes_state import Stage
from tests.ledger.vote_traces import pick

INT_MAX = 2**31 - 1


def vote(draw, model, slot, seats):
    """Fields of the next action: open, draw, a ballot, tell, book.

    Args:
        draw: the dice.
        model: of the market.
        slot: of the job.
        seats: `job -> [C]`, what chance gives.
    """
    u, (serial, unit) = model.votes.slots[slot], model.wanted(slot)
    kinds = {Phase.VERIFY: Kind.BOOK_VERIFICATION, Phase.DISPUTED: Kind.BOOK_DISPUTE}
    book = {"kind": kinds.get(model.jobs[slot].phase, Kind.BOOK_ROUND)}
    if draw(0, 24) == 0:
        return book
    if not any(model.electorate(slot)) and draw(0, 3) == 0:
        return pick(draw, ({"kind": Kind.WAIT, "amount": 3}, {"kind": Kind.TIME_OUT}))
    if u.serial != serial:
        return {"kind": Kind.OPEN_UNIT}
    if u.stage == Stage.OPEN:
        return {"kind": Kind.DRAW, "payload": seats(slot)}
    if u.stage == Stage.VOTING:
        return _ballot(draw, model, slot, unit)
    if u.stage == Stage.FAILED or u.content is not None:
        return book
    content = model.notes.get(u.accepted)
    if content is not None and draw(0, 1 if content[5] > 2**15 else 7):
        return {"kind": Kind.OPEN_CONTENT, "payload": content}
    rest = u.since + model.rules["content_window"] - model.block
    return {"kind": Kind.WAIT, "amount": rest} if rest > 0 and draw(0, 5) else book


def trial(draw, model, slot):
    """What the court finds about the disputed unit, and that somebody books it."""
    job = model.jobs[slot]
    first, second, split = _story(draw, model, slot, model.rounds + 1 + job.disputed_unit)
    if draw(0, 5) == 0:  # too early, another content, or a case that is closed
        content = model.notes.get(second, [0] * (2 * len(model.sellers) + 5))
        return pick(draw, ({"kind": Kind.BOOK_CASE, "payload": content}, {"kind": Kind.TIME_OUT},
                           {"kind": Kind.BOOK_CASE, "payload": content},
                           {"kind": Kind.CLOSE_CASE, "value": first}))  # fmt: skip
    if job.ruled < 0:
        digest = pick(draw, (first, first, first, second if split else first, 0))
        stood = int(not digest and draw(0, 1))  # and its memory is no content
        return {"kind": Kind.CLOSE_CASE, "value": digest, "extra": [stood, draw(0, 1), 0]}
    content = model.notes.get(job.ruling)
    if draw(0, 3) == 0 or content is None:
        rest = job.ruled + model.rules["content_window"] - model.block
        if job.ruled >= 0 and rest > 0 and draw(0, 2):
            return {"kind": Kind.WAIT, "amount": rest}
        ends = job.stood if draw(0, 7) else not job.stood
        return {"kind": Kind.TIME_OUT} if ends else {"kind": Kind.BOOK_CASE}  # with no content
    return {"kind": Kind.BOOK_CASE, "payload": content}


def _ballot(draw, model, slot, unit):
    """Somebody commits, reveals or counts, or time passes to the end of the window."""
    u, how = model.votes.slots[slot], model.votes.how
    age, committed = model.block - u.since, how.commit_window
    new = sorted(u.newcomers())
    if new and draw(0, 11) == 0:  # at the wrong time, or again
        return pick(draw, (_commit, _reveal))(draw, model, slot, unit, pick(draw, new))
    if age < committed:
        left = [node for node in new if node not in u.promise]
        if left and draw(0, 9):
            return _commit(draw, model, slot, unit, pick(draw, left))
        return {"kind": Kind.WAIT, "amount": committed - age}
    left = [node for node in new if node in u.promise and node not in u.digest]
    rest = committed + how.reveal_window - age
    if rest > 0 and left and draw(0, 11):
        return _reveal(draw, model, slot, unit, pick(draw, left))
    waits = rest > 0 and any(node not in u.digest for node in new) and draw(0, 5)
    return {"kind": Kind.WAIT, "amount": rest} if waits else {"kind": Kind.TALLY}


def _commit(draw, model, slot, unit, node):
    """To one of the two digests that are said to be true of the unit, or to one's own."""
    first, second, split = _story(draw, model, slot, unit)
    digest = pick(draw, (first, second) if split else (*[first] * 15, second))
    digest = digest if draw(0, 29) else draw(1, INT_MAX)
    salt = draw(1, INT_MAX)
    promise = model.votes.promise_of(slot, node, digest, salt)
    model.notes["ballot", promise] = digest, salt
    return {"kind": Kind.COMMIT_VOTE, "actor": model.nodes[node], "value": promise}


def _reveal(draw, model, slot, unit, node):
    promise = model.votes.slots[slot].promise.get(node)
    digest, salt = model.notes.get(("ballot", promise), (1, 1))
    fields = {"actor": model.nodes[node], "value": digest, "extra": [salt, 0, 0]}
    return {"kind": Kind.REVEAL_VOTE, **fields}


def _story(draw, model, slot, unit):
    """(digest, rival digest, whether opinions are split) of the unit that is voted on."""
    job = model.jobs[slot]
    key = "story", slot, job.serial
    if key not in model.notes:
        is_again = unit > model.rounds
        task = unit - model.rounds - 1 if is_again else unit
        said = [job.results[task], *job.papers[task].values()] if is_again else []
        old = [digest for digest in said if digest]
        others = [digest for digest in old if digest != old[0]]
        new = [_digest(draw, model, job, task) for _ in range(2)]
        first = pick(draw, (old[0], (others or new)[0], new[0])) if old else new[0]
        model.notes[key] = first, pick(draw, old) if old else new[1], draw(0, 3) == 0
    return model.notes[key]


def _digest(draw, model, job, task):
    """Of a content that might be true of the unit; at times of nonsense, or never told."""
    number = len(model.sellers)
    work = draw(1, 99) if draw(0, 29) else 0  # none
    metric = pick(draw, (job.tau_bps, max(job.tau_bps - 1, 0), draw(0, 10_000)))
    if task == model.rounds:
        weights = [pick(draw, (0, 1, 2**15, draw(0, 2**15))) for _ in range(number)]
        harm = [int(draw(0, 3) == 0) for _ in range(number)]
        asked = job.model if draw(0, 11) else draw(1, 9), job.metric if draw(0, 15) else 7
        content = [metric, draw(0, 10_000), *asked, work, *weights, *harm]
    else:
        verdicts = [pick(draw, (0, 1, 1, 2)) for _ in range(number)]
        content = [metric * draw(0, 1), 0, work, 0, 0, *verdicts, *[0] * number]
    if draw(0, 15) == 0:
        content[5] = 2**15 + 1
    digest = model.votes.hash(content)
    if draw(0, 15):
        model.notes[digest] = content
    return digest
