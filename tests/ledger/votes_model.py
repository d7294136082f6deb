"""Votes again, slow and obvious: Python integers, dictionaries, early returns, real logarithms.

Written from docs/votes.md, not from the JAX code; it shares with it the names of kinds, stages and
receipts. It knows no tables: stop rules are reckoned from f_max and beta.
"""

import dataclasses
import math
from collections import Counter

from d2m_jax.core.outcomes import Outcome
from d2m_jax.ledger.codes import Reason
from d2m_jax.ledger.votes_machine import VoteKind
from d2m_jax.ledger.votes_state import Stage

LAST_BLOCK = 2**31 - 1
WORD = 2**32 - 1
CLOSE = 5e-5  # nats, within which a score has reached its bound


@dataclasses.dataclass
class Election:
    """How a vote is held."""

    num_nodes: int
    num_sellers: int
    num_jobs: int
    num_rounds: int
    rule: str
    schedule: str
    by_stake: bool
    max_sets: int
    base: int
    size: int
    q: float
    f_max: float
    beta: float
    more_seats: int = 0
    commit_window: int = 1
    reveal_window: int = 1

    def most_voters(self):
        """Of a pool in which everybody is eligible; the rules are reckoned for it."""
        by_lot = self.by_stake and self.schedule != "independent"
        return max(1024, 4 * self.num_nodes) if by_lot else self.num_nodes

    def set_sizes(self, more):
        """Of a pool in which everybody is eligible."""
        left, sizes = self.most_voters(), []
        for i in range(1, self.max_sets + 1):
            wanted = self.size if self.schedule == "fixed" else self.base + 2 ** (i - 1)
            sizes.append(min(wanted + more, left))
            left -= sizes[-1]
        return sizes


@dataclasses.dataclass
class Unit:
    serial: int = 0
    unit: int = 0
    stage: Stage = Stage.IDLE
    since: int = 0
    pool: int = 0
    urn: dict = dataclasses.field(default_factory=dict)  # node -> lots that are left, or chance
    sets: list = dataclasses.field(default_factory=list)  # of {node: lots}
    promise: dict = dataclasses.field(default_factory=dict)
    digest: dict = dataclasses.field(default_factory=dict)  # revealed
    accepted: int = 0
    content: list | None = None

    def newcomers(self):
        """Nodes that vote with the latest set."""
        earlier = set().union(*self.sets[:-1]) if self.sets else set()
        return {node for node in (self.sets[-1] if self.sets else ()) if node not in earlier}


class VotesModel:
    def __init__(self, election):
        self.how = election
        self.block = 0
        self.slots = [Unit() for _ in range(election.num_jobs)]

    # hashes: those of the functional ledger; a subclass may take others

    def hash(self, words):
        state = 0x811C9DC5
        for word in words:
            state = (state ^ (word & WORD)) * 0x85EBCA6B & WORD
            state = (state ^ state >> 13) * 0xC2B2AE35 & WORD
            state ^= state >> 16
        signed = state - 2**32 if state >= 2**31 else state
        return signed or 1

    def promise_of(self, job, node, digest, salt):
        u = self.slots[job]
        return self.hash([job, u.serial, len(u.sets), node, digest, salt])

    # actions

    def act(self, kind, node, job, amount, value, salt, payload):
        if kind not in list(VoteKind):
            return Reason.UNKNOWN_ACTION
        if kind == VoteKind.WAIT:
            if amount < 0 or self.block + amount > LAST_BLOCK:
                return Reason.BAD_VALUE
            self.block += amount
            return Reason.OK
        votes = kind in (VoteKind.COMMIT_VOTE, VoteKind.REVEAL_VOTE)
        if votes and not 0 <= node < self.how.num_nodes:
            return Reason.UNKNOWN_PARTY
        if not 0 <= job < len(self.slots):
            return Reason.UNKNOWN_JOB
        u = self.slots[job]
        if kind == VoteKind.OPEN_UNIT:
            return self.open_unit(job, amount, value, payload[: self.how.num_nodes])
        if kind == VoteKind.OPEN_CONTENT:
            return self.open_content(u, payload[: 2 * self.how.num_sellers + 5])
        if u.stage in (Stage.DECIDED, Stage.FAILED):
            return Reason.ALREADY_DONE
        if u.stage != (Stage.OPEN if kind == VoteKind.DRAW else Stage.VOTING):
            return Reason.WRONG_PHASE
        if kind == VoteKind.DRAW:
            return self.draw(u, payload[: self.how.num_nodes])
        if kind == VoteKind.TALLY:
            return self.tally(u)
        if node not in u.newcomers():
            return Reason.NOT_AUTHORISED
        age = self.block - u.since
        if kind == VoteKind.COMMIT_VOTE:
            return self.commit_vote(u, age, node, value)
        return self.reveal_vote(u, age, job, node, value, salt)

    def open_unit(self, job, serial, unit, stakes):
        if serial < 1:
            return Reason.WRONG_PHASE
        if serial == self.slots[job].serial:
            return Reason.ALREADY_DONE
        if not 0 <= unit <= 2 * self.how.num_rounds + 1:
            return Reason.BAD_VALUE
        u = self.slots[job] = Unit(serial=serial, unit=unit)
        u.urn = self.urn_of({node: stake for node, stake in enumerate(stakes) if stake > 0})
        u.pool = len(u.urn) if self.how.schedule == "independent" else sum(u.urn.values())
        u.stage = Stage.OPEN if u.pool else Stage.FAILED
        return Reason.OK

    def urn_of(self, stakes):
        total = sum(stakes.values())
        if self.how.schedule == "independent":
            chance = min(round(self.how.q * 2**31), 2**31 - 1)
            mean = total // max(len(stakes), 1)
            if not self.how.by_stake:
                return dict.fromkeys(stakes, chance)
            return {node: min(chance * s // mean, 2**31 - 1) for node, s in stakes.items()}
        if not self.how.by_stake:
            return dict.fromkeys(stakes, 1)
        quantum = max(math.ceil(total / self.how.most_voters()), 1)
        return {node: stake // quantum for node, stake in stakes.items() if stake >= quantum}

    def more_seats(self, u):
        return self.how.more_seats if u.unit > self.how.num_rounds else 0

    def next_size(self, u):
        drawn = sum(sum(s.values()) for s in u.sets)
        given = sum(self.how.set_sizes(self.more_seats(u))[: len(u.sets) + 1])
        return min(given, u.pool) - drawn

    def draw(self, u, seats):
        got = {node: lots for node, lots in enumerate(seats) if lots}
        for node, lots in got.items():
            most = u.urn.get(node, 0)
            if self.how.schedule == "independent":
                most = min(most, 1)
            if not 0 <= lots <= most:
                return Reason.BAD_VALUE
        if self.how.schedule != "independent":
            if sum(got.values()) != self.next_size(u):
                return Reason.BAD_VALUE
            for node, lots in got.items():
                u.urn[node] -= lots
        u.sets.append(got)
        u.stage, u.since = Stage.VOTING, self.block
        return Reason.OK

    def commit_vote(self, u, age, node, promise):
        if age >= self.how.commit_window:
            return Reason.TOO_LATE
        if promise == 0:
            return Reason.BAD_VALUE
        if node in u.promise:
            return Reason.ALREADY_DONE
        u.promise[node] = promise
        return Reason.OK

    def reveal_vote(self, u, age, job, node, digest, salt):
        if age < self.how.commit_window:
            return Reason.TOO_EARLY
        if age >= self.how.commit_window + self.how.reveal_window:
            return Reason.TOO_LATE
        if node in u.digest:
            return Reason.ALREADY_DONE
        if digest == 0 or u.promise.get(node) != self.promise_of(job, node, digest, salt):
            return Reason.BAD_VALUE
        u.digest[node] = digest
        return Reason.OK

    def tally(self, u):
        waiting = any(node not in u.digest for node in u.newcomers())
        windows = self.how.commit_window + self.how.reveal_window
        if waiting and self.block - u.since < windows:
            return Reason.TOO_EARLY
        u.accepted = self.verdict(u)
        drawn = sum(sum(s.values()) for s in u.sets)
        over = len(u.sets) == self.how.max_sets
        over |= self.how.schedule != "independent" and drawn >= u.pool
        u.stage = Stage.FAILED if over else Stage.OPEN
        if u.accepted:
            u.stage = Stage.DECIDED
        return Reason.OK

    def open_content(self, u, content):
        if u.stage != Stage.DECIDED:
            return Reason.WRONG_PHASE
        if u.content is not None:
            return Reason.ALREADY_DONE
        rounds = self.how.num_rounds
        task = u.unit - rounds - 1 if u.unit > rounds else u.unit
        if not self.well_formed(content, task == rounds) or self.hash(content) != u.accepted:
            return Reason.BAD_VALUE
        u.content = content
        return Reason.OK

    def well_formed(self, content, verifies):
        """Every field is in its range, and what this kind of unit has no use for is 0."""
        sellers, (metric, base, _, asked, work) = self.how.num_sellers, content[:5]
        one, two = content[5 : 5 + sellers], content[5 + sellers :]
        if verifies:
            good = 0 <= metric <= 10_000 and 0 <= base <= 10_000
            return good and all(0 <= w <= 2**15 for w in one) and all(h in (0, 1) for h in two)
        good = 0 <= metric <= 10_000 and base == asked == work == 0 and not any(two)
        return good and all(v in (0, 1, 2) for v in one)

    # counting

    def per_set(self, u):
        """Votes per digest, set by set."""
        found = []
        for members in u.sets:
            now = Counter()
            for node, lots in members.items():
                if node in u.digest:
                    now[u.digest[node]] += lots
            found.append(now)
        return found

    def verdict(self, u):
        """The digest that is accepted now, or 0."""
        sets = self.per_set(u)
        total = sum(sets, Counter())
        ranked = total.most_common(2)
        winner = self.stop(u, sets, total)
        if winner:
            return winner
        drawn = sum(sum(s.values()) for s in u.sets)
        if self.how.schedule == "independent" or drawn < u.pool or not ranked:
            return 0
        clear = len(ranked) == 1 or ranked[0][1] > ranked[1][1]
        return ranked[0][0] if clear else 0

    def stop(self, u, sets, total):
        """The digest that the stop rule accepts, or 0."""
        how, rule = self.how, self.how.rule
        if not total:
            return 0
        if rule == "majority_last":
            size = sum(u.sets[-1].values())
            top = sets[-1].most_common(1)
            return top[0][0] if size and top and 3 * top[0][1] >= 2 * size else 0
        rivals = max(len(total) - 1, 1)
        bound = math.log(rivals / how.beta - 1)
        if rule == "lead":
            need = max(math.ceil(bound / math.log((1 - how.f_max) / how.f_max) - 1e-5), 1)
            score, proof, bound = total, math.inf, need
        elif rule == "hypergeometric":
            parts = sets if how.schedule == "independent" else [total]
            score, proof = self.add(parts, lambda votes, _: self.likelihood(votes)), math.inf
        else:
            score, proof = self.add(sets, lambda votes, i: self.square(u, votes, i)), math.inf
        ranked = sorted(score.items(), key=lambda item: -item[1])
        first, second = ranked[0][1], ranked[1][1] if len(ranked) > 1 else 0
        if second == proof:
            return 0
        slack = 0 if rule == "lead" else CLOSE
        return ranked[0][0] if first - second >= bound - slack else 0

    def add(self, sets, worth):
        score = dict.fromkeys(sum(sets, Counter()), 0.0)
        for i, now in enumerate(sets):
            for digest, votes in now.items():
                score[digest] += worth(votes, i)
        return score

    def likelihood(self, votes):
        """ln of C(H, x) / C(B, x), of votes x for one digest."""
        pool = self.how.most_voters()
        bad = math.floor(self.how.f_max * pool + 1e-3)
        if votes > bad:
            return math.inf
        return math.log(math.comb(pool - bad, votes) / math.comb(bad, votes))

    def square(self, u, votes, i):
        pool, f = self.how.most_voters(), self.how.f_max
        share = self.how.q
        if self.how.schedule != "independent":
            share = self.how.set_sizes(self.more_seats(u))[i] / pool
        spread = pool * share * max(1 - share, 1 / pool)
        return votes**2 * (1 - 2 * f) / (2 * f * (1 - f)) / spread

    # to compare

    def outcomes(self, job):
        u, found = self.slots[job], []
        drawn = set().union(*u.sets) if u.sets else set()
        for node in range(self.how.num_nodes):
            if node not in drawn:
                found.append(Outcome.NOT_DRAWN)
            elif node not in u.digest:
                found.append(Outcome.SILENT)
            elif not u.accepted:
                found.append(Outcome.NOT_DRAWN)
            else:
                right = u.digest[node] == u.accepted
                found.append(Outcome.MATCHED if right else Outcome.WRONG)
        return [int(outcome) for outcome in found]

    def everything(self):
        """The whole state under the names of the JAX votes; all but `points`."""
        nodes, slots = range(self.how.num_nodes), self.slots

        def first(u, node):
            return next((i for i, s in enumerate(u.sets, 1) if node in s), 0)

        return {
            "serial": [u.serial for u in slots],
            "unit": [u.unit for u in slots],
            "stage": [int(u.stage) for u in slots],
            "attempt": [len(u.sets) for u in slots],
            "since": [u.since for u in slots],
            "pool": [u.pool for u in slots],
            "drawn": [sum(sum(s.values()) for s in u.sets) for u in slots],
            "size": [sum(u.sets[-1].values()) if u.sets else 0 for u in slots],
            "accepted": [u.accepted for u in slots],
            "is_open": [u.content is not None for u in slots],
            "content": [u.content or [0] * (2 * self.how.num_sellers + 5) for u in slots],
            "urn": [[u.urn.get(node, 0) for node in nodes] for u in slots],
            "lots": [[sum(s.get(node, 0) for s in u.sets) for node in nodes] for u in slots],
            "seats": [[u.sets[-1].get(n, 0) if u.sets else 0 for n in nodes] for u in slots],
            "first_set": [[first(u, node) for node in nodes] for u in slots],
            "commitments": [[u.promise.get(node, 0) for node in nodes] for u in slots],
            "digests": [[u.digest.get(node, 0) for node in nodes] for u in slots],
        }
