"""Random votes and random traces of them, mostly legal, that reach every stage and refusal.

All randomness comes through `draw(low, high)`, both included, as in `traces.py`.
"""

import numpy as np

from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.tables import vote_tables
from d2m_jax.ledger.votes_machine import VoteAction, VoteKind
from d2m_jax.ledger.votes_state import Stage, make_terms
from tests.ledger.votes_model import Election, VotesModel

NODES, SELLERS, JOBS, ROUNDS, SETS = 7, 3, 2, 2, 4
FIELDS = ("kind", "node", "job", "amount", "value", "salt", "payload")
LENGTH = 2 * SELLERS + 5  # of a payload
TOP = 2**31 - 1
MOST_SCORES = 2 * (1024 + SETS)
RULES = ("lead", "hypergeometric", "miracle", "majority_last")
WAYS = [("exponential", 0), ("exponential", 1), ("fixed", 0), ("independent", 0)]
WAYS += [("independent", 1), ("fixed", 1)]


def pick(draw, options):
    """One of them."""
    return options[draw(0, len(options) - 1)]


def random_election(draw, nodes=NODES, sellers=SELLERS, jobs=JOBS, rounds=ROUNDS):
    """Rules, schedules and sortitions of all kinds, with bounds that few votes reach."""
    schedule, by_stake = pick(draw, WAYS)
    large = 100 if by_stake and schedule != "independent" else 1
    return Election(
        num_nodes=nodes,
        num_sellers=sellers,
        num_jobs=jobs,
        num_rounds=rounds,
        rule=pick(draw, RULES),
        schedule=schedule,
        by_stake=bool(by_stake),
        max_sets=SETS,
        base=draw(1, 2) * large,
        size=draw(1, 3) * large,
        q=draw(2, 9) / 10,
        f_max=pick(draw, (0.23, 0.33, 0.41)),
        beta=pick(draw, (0.31, 0.11, 0.013)),
        more_seats=draw(0, 2),
        commit_window=draw(1, 2),
        reveal_window=draw(1, 2),
    )


def terms_of(how):
    """The tables of an election, all of one length, so that one compilation serves all."""
    made = vote_tables(
        how.num_nodes,
        ConeParams(base=how.base, size=how.size, q=how.q, f_max=how.f_max, beta=how.beta),
        schedule=how.schedule,
        stop_rule=how.rule,
        sortition="stake" if how.by_stake else "uniform",
        max_attempts=how.max_sets,
        more_seats=how.more_seats,
    )
    more = MOST_SCORES - len(made.scores)
    made = made._replace(scores=np.concatenate([made.scores, np.repeat(made.scores[-1:], more)]))
    return make_terms(
        made,
        num_rounds=how.num_rounds,
        commit_window=how.commit_window,
        reveal_window=how.reveal_window,
    )


def fair_seats(draw, model, u):
    """Seats of the next set of a unit, by the dice."""
    how, nodes = model.how, range(model.how.num_nodes)
    if how.schedule == "independent":
        return [int(draw(0, 2**31 - 2) < u.urn.get(node, 0)) for node in nodes]
    left = [node for node in nodes for _ in range(u.urn.get(node, 0))]
    got = [0] * how.num_nodes
    for _ in range(max(model.next_size(u), 0)):
        got[left.pop(draw(0, len(left) - 1))] += 1
    return got


class Player:
    """Makes up actions for a model, and remembers the salts and contents of its own.

    Args:
        draw: the dice.
        model: of the vote; it is asked, not moved.
        seats: `(job, unit) -> [C]`, what chance gives; by default the dice do.
    """

    def __init__(self, draw, model, seats=None):
        self.draw, self.model, self.seats = draw, model, seats or self.fair_seats
        self.serial = 0
        self.known = {}  # (job, serial, node) -> (digest, salt)
        self.contents = {}  # digest -> content

    def action(self):
        """A sensible action; one time in five, one field of it replaced by something wild."""
        blank = dict.fromkeys(FIELDS, 0) | {"payload": []}
        action = blank | self.sensible()
        action["payload"] = [*action["payload"], *[0] * LENGTH][:LENGTH]
        if self.draw(0, 4) == 0:
            name = pick(self.draw, FIELDS)
            action[name] = self.wild(name, action[name])
        return tuple(action[name] for name in FIELDS)

    def wild(self, name, old):
        if name == "payload":
            at = self.draw(0, 9)
            return [pick(self.draw, (-1, 0, 2, 3, 2**15 + 1)) if i == at else v
                    for i, v in enumerate(old)]  # fmt: skip
        if name == "kind":
            return self.draw(-1, len(VoteKind))
        if name == "node":
            return pick(self.draw, (-1, NODES, self.draw(0, NODES - 1)))
        if name == "job":
            return pick(self.draw, (-1, JOBS, self.draw(0, JOBS - 1)))
        return pick(self.draw, (-1, 0, min(old, TOP - 1) + 1, max(old, 1 - TOP) - 1, TOP))

    def sensible(self):
        """What somebody might do now."""
        job = self.draw(0, JOBS - 1)
        u = self.model.slots[job]
        doing = {
            Stage.IDLE: self.open,
            Stage.OPEN: self.set,
            Stage.VOTING: self.vote,
            Stage.DECIDED: self.tell,
            Stage.FAILED: self.open,
        }[u.stage]
        if self.draw(0, 11) == 0:
            doing = pick(self.draw, (self.open, self.set, self.count, self.tell))
        return {"job": job} | doing(job, u)

    def open(self, job, u):
        again = self.draw(0, 5) == 0
        self.serial += not again
        stakes = [pick(self.draw, (0, 1, 50, 100, 3_000)) for _ in range(NODES)]
        if self.draw(0, 9) == 0:
            stakes = [0] * NODES
        serial = u.serial if again else self.serial
        unit = pick(self.draw, (0, 1, ROUNDS, ROUNDS + 1, 2 * ROUNDS + 1))
        return {
            "kind": VoteKind.OPEN_UNIT, "amount": serial, "value": unit, "payload": stakes
        }  # fmt: skip

    def set(self, job, u):
        return {"kind": VoteKind.DRAW, "payload": self.seats(job, u)}

    def fair_seats(self, job, u):
        return fair_seats(self.draw, self.model, u)

    def vote(self, job, u):
        age, how = self.model.block - u.since, self.model.how
        new = sorted(u.newcomers())
        if new and self.draw(0, 7) == 0:  # at the wrong time, or again
            return pick(self.draw, (self.commit, self.reveal))(job, u, pick(self.draw, new))
        if age < how.commit_window:
            left = [node for node in new if node not in u.promise]
            if left and self.draw(0, 9):
                return self.commit(job, u, pick(self.draw, left))
            return self.wait(job, u)
        left = [node for node in new if node in u.promise and node not in u.digest]
        if age < how.commit_window + how.reveal_window and left and self.draw(0, 7):
            return self.reveal(job, u, pick(self.draw, left))
        return self.count(job, u) if self.draw(0, 3) else self.wait(job, u)

    def commit(self, job, u, node):
        digest = self.digest(u) if self.draw(0, 3) else pick(self.draw, (1, 2, 1_000 + node))
        salt = self.draw(1, 2**31 - 1)
        self.known.setdefault((job, u.serial, node), (digest, salt))
        promise = self.model.promise_of(job, node, digest, salt)
        return {"kind": VoteKind.COMMIT_VOTE, "node": node, "value": promise}

    def reveal(self, job, u, node):
        digest, salt = self.known.get((job, u.serial, node), (1, 1))
        return {"kind": VoteKind.REVEAL_VOTE, "node": node, "value": digest, "salt": salt}

    def digest(self, u):
        """Of the content that is true of a unit."""
        task = u.unit - ROUNDS - 1 if u.unit > ROUNDS else u.unit
        content = [u.serial % 3 * 5_000, 0, 77 + u.serial % 1_000, 0, 0, 1, 2, 0, 0, 0, 0]
        odd = self.draw(0, 5) == 0  # a digest of nonsense
        if task == ROUNDS:
            content = [9_000, 1_000, 77, 88, 66, 3, 2**15 + odd, 0, 0, 1, 1]
        elif odd:
            content[5] = 3
        digest = self.model.hash(content)
        self.contents[digest] = content
        return digest

    def wait(self, job, u):
        return {"kind": VoteKind.WAIT, "amount": self.draw(0, 2)}

    def count(self, job, u):
        return {"kind": VoteKind.TALLY}

    def tell(self, job, u):
        if u.content is not None and self.draw(0, 5):
            return self.open(job, u)
        content = self.contents.get(u.accepted)
        if content is None and self.draw(0, 2):
            return self.open(job, u)
        return {"kind": VoteKind.OPEN_CONTENT, "payload": content or [0] * LENGTH}


def play(draw, steps, election=None):
    """A model after a random trace: model, actions, receipts."""
    model = VotesModel(election or random_election(draw))
    player = Player(draw, model)
    rows, receipts = [], []
    for _ in range(steps):
        rows.append(player.action())
        receipts.append(int(model.act(*rows[-1])))
    return model, rows, receipts


def vote_batch(rows):
    """A list of lists of action tuples as one VoteAction with leaves [T, S]."""
    columns = zip(*(zip(*row) for row in rows))
    return VoteAction(**{f: np.asarray(c, np.int32) for f, c in zip(FIELDS, columns, strict=True)})
