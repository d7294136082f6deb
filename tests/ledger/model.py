"""The ledger again, slow and obvious: Python integers, dictionaries, early returns.

Written from the documents, not from the JAX code, and sharing with it only the names of phases,
kinds and receipts. The votes are those of `votes_model.py`. `act` returns the first reason for
refusal or OK.
"""

import dataclasses
import itertools
import math

from d2m_jax.core.outcomes import Outcome
from d2m_jax.ledger.codes import Kind, Phase, Reason, Verdict
from d2m_jax.ledger.votes_machine import VoteKind
from d2m_jax.ledger.votes_state import Stage
from tests.ledger.votes_model import VotesModel

BLOCK_MAX = 2**31 - 1
DONE = (Phase.SETTLED, Phase.REFUNDED, Phase.ABORTED)
IN_AUCTION = {Kind.BID: 0, Kind.SEAL: 1, Kind.REVEAL: 1}  # and whether bids have to be sealed
PHASES = {
    Kind.BID: (Phase.IDLE, Phase.AUCTION),
    Kind.SEAL: (Phase.IDLE, Phase.AUCTION),
    Kind.REVEAL: (Phase.AUCTION,),
    Kind.CLOSE_AUCTION: (Phase.AUCTION,),
    Kind.BOOK_ROUND: (Phase.MATCHED, Phase.TRAINING),
    Kind.BOOK_VERIFICATION: (Phase.VERIFY,),
    Kind.OPEN_DISPUTE: (Phase.CHALLENGE,),
    Kind.BOOK_DISPUTE: (Phase.DISPUTED,),
    Kind.SETTLE: (Phase.CHALLENGE,),
    Kind.OPEN_METRIC: (Phase.MATCHED, Phase.TRAINING, Phase.VERIFY),
    Kind.TAKE: (Phase.CHALLENGE,),
    Kind.CLOSE_CASE: (Phase.DISPUTED,),
    Kind.BOOK_CASE: (Phase.DISPUTED,),
    Kind.TIME_OUT: (Phase.MATCHED, Phase.TRAINING, Phase.VERIFY, Phase.DISPUTED),
}


def part(amount, bps):
    """Basis points of an amount, rounded down."""
    return amount * bps // 10_000


def mix(*words):
    """An int32 of words: (job, buyer, amount, tau, model, metric, salt) is a seal, (content, salt)
    the digest of a metric. A number that is no int32 is two words."""
    h = 0x811C9DC5
    halves = [(w,) if -(2**31) <= w < 2**31 else (w, w >> 32) for w in words]
    for word in itertools.chain(*halves):
        h = (h ^ (word % 2**32)) * 0x85EBCA6B % 2**32
        h ^= h >> 13
        h = h * 0xC2B2AE35 % 2**32
        h ^= h >> 16
    return (h - 2**32 if h >= 2**31 else h) or 1


@dataclasses.dataclass
class Job:
    phase: Phase = Phase.IDLE
    since: int = 0
    serial: int = 0
    tags: int = 0
    buyer: int = -1
    tau_bps: int = 0
    metric_bps: int = 0
    base_bps: int = 0
    bids: dict = dataclasses.field(default_factory=dict)  # buyer -> its highest, or revealed one
    asked: dict = dataclasses.field(default_factory=dict)  # buyer -> (tau, model, metric)
    seals: dict = dataclasses.field(default_factory=dict)  # buyer -> commitment
    paid_in: dict = dataclasses.field(default_factory=dict)  # buyer -> deposit
    model: int = 0
    metric: int = 0
    price: int = 0
    pot: dict = dataclasses.field(default_factory=dict)  # seller, compute, fee, bond, forfeited
    locked: dict = dataclasses.field(default_factory=dict)  # seller account -> deposit
    out: set = dataclasses.field(default_factory=set)  # seller accounts with evidence of harm
    weights: dict = dataclasses.field(default_factory=dict)
    offered: dict = dataclasses.field(default_factory=dict)  # node account -> what it will pledge
    frozen: bool = False
    pledged: dict = dataclasses.field(default_factory=dict)  # node account -> what is left of it
    held: dict = dataclasses.field(default_factory=dict)  # node account -> slashed, not spent
    earned: dict = dataclasses.field(default_factory=dict)  # node account -> not paid yet
    results: dict = dataclasses.field(default_factory=dict)  # unit -> digest
    papers: dict = dataclasses.field(default_factory=dict)  # unit -> {node account: digest}
    round: int = 0
    opened: bool = False
    spoilt: bool = False
    disputer: int = -1
    disputed_unit: int = -1
    ruled: int = -1  # block in which the court closed the latest case
    ruling: int = 0
    stood: bool = False  # the accepted root has won it
    proven: bool = False  # it has been shown to be wrong
    finder: int = -1  # whose claim has won
    joined: int = 0
    to_nodes: int = 0
    to_sellers: int = 0
    to_treasury: int = 0
    to_buyer: int = 0

    def __post_init__(self):
        self.pot = dict.fromkeys(("seller", "compute", "fee", "bond", "forfeited"), 0)


@dataclasses.dataclass
class Found:
    """What the vote on a unit came to."""

    result: int  # digest, 0 none
    outcomes: dict  # node account -> Outcome
    papers: dict  # node account -> digest revealed
    content: list | None


class Model:
    most = 2**31 - 1  # units that an action may speak of

    def __init__(self, layout, rules, funds, election):
        self.layout, self.rules = layout, rules
        self.rounds = min(rules["num_rounds"], layout.num_units - 1)
        self.votes = VotesModel(election)
        accounts = range(layout.num_accounts)
        self.everyone = accounts
        self.buyers = [a for a in accounts][layout.buyers]
        self.sellers = [a for a in accounts][layout.sellers]
        self.nodes = [a for a in accounts][layout.nodes]
        self.treasury = layout.num_accounts - 1
        self.money = dict(zip(accounts, funds))
        self.stake = dict.fromkeys(accounts, 0)
        self.exit = dict.fromkeys(accounts, (0, 0))
        self.here, self.barred = set(), set()
        self.listing = {}  # seller account -> (tags, size, commitment)
        self.ask = {}  # seller account -> (least pool, highest tau)
        self.reputation = dict.fromkeys(self.sellers, 5_000)
        self.block = self.burned = 0
        self.jobs = [Job() for _ in range(layout.num_jobs)]
        self.notes = {}  # of who makes up the actions; nothing here reads them

    def act(self, kind, actor, job, target, amount, tags, value, extra, payload):
        if kind not in list(Kind):
            return Reason.UNKNOWN_ACTION
        if kind == Kind.WAIT:
            if amount < 0 or self.block + amount > BLOCK_MAX:
                return Reason.BAD_VALUE
            self.block += amount
            return Reason.OK
        if actor not in self.everyone:
            return Reason.UNKNOWN_PARTY
        name = Kind(kind).name.lower()
        if kind >= Kind.OPEN_UNIT:
            return self.vote(kind, actor, job, value, extra, payload)
        if kind <= Kind.SET_ASK:
            return getattr(self, name)(actor, target, amount, tags, value, extra)
        if not 0 <= job < len(self.jobs):
            return Reason.UNKNOWN_JOB
        if kind in IN_AUCTION and actor not in self.buyers:
            return Reason.NOT_AUTHORISED
        if kind in IN_AUCTION and self.rules["sealed"] != IN_AUCTION[kind]:
            return Reason.WRONG_FORMAT
        j = self.jobs[job]
        if kind == Kind.RESET_JOB:
            if j.phase not in DONE:
                return Reason.WRONG_PHASE
            self.jobs[job] = Job(serial=j.serial)
            return Reason.OK
        if j.phase in DONE:
            return Reason.ALREADY_DONE
        if j.phase not in PHASES[Kind(kind)]:
            return Reason.WRONG_PHASE
        if kind == Kind.BOOK_CASE:
            return self.book_case(j, payload)
        if kind == Kind.CLOSE_CASE:
            return self.close_case(j, target, value, extra)
        return getattr(self, name)(j, actor, amount, tags, value, extra)

    # votes

    def wanted(self, job):
        """(serial, unit) of the vote that the job asks for; (0, 0) if it asks for none."""
        j = self.jobs[job]
        if j.phase in (Phase.MATCHED, Phase.TRAINING):
            return j.serial, j.round
        if j.phase == Phase.VERIFY and j.opened:
            return j.serial, self.rounds
        if j.phase == Phase.DISPUTED and not self.rules["bisection"]:
            return j.serial, self.rounds + 1 + j.disputed_unit
        return 0, 0

    def electorate(self, job):
        """What each node has at risk in the job, in order; 0 for who does not vote."""
        pledged = self.jobs[job].pledged
        return [
            pledged.get(n, 0) if n in self.here and n not in self.barred else 0 for n in self.nodes
        ]

    def vote(self, kind, actor, job, value, extra, payload):
        self.votes.block = self.block
        node = self.nodes.index(actor) if actor in self.nodes else -1
        if kind == Kind.OPEN_UNIT:
            if not 0 <= job < len(self.jobs):
                return Reason.UNKNOWN_JOB
            wanted = self.wanted(job)
            return self.votes.act(VoteKind.OPEN_UNIT, 0, job, *wanted, 0, self.electorate(job))
        kind = VoteKind[Kind(kind).name]
        return self.votes.act(kind, node, job, 0, value, extra[0], payload)

    def found(self, j, task):
        """What the vote on the unit came to; None while it is not known."""
        job = self.jobs.index(j)
        u = self.votes.slots[job]
        if u.serial != j.serial or u.stage not in (Stage.DECIDED, Stage.FAILED):
            return None
        waited = self.block - u.since >= self.rules["content_window"]
        if u.accepted and u.content is None and not waited:
            return None
        result = u.accepted
        outcomes = dict(zip(self.nodes, self.votes.outcomes(job)))
        asked = [j.model, j.metric]
        misfit = task == self.rounds and u.content is not None and u.content[2:4] != asked
        if result and (u.content is None or misfit):  # void: who agreed on it was wrong
            result = 0
            new = {Outcome.MATCHED: Outcome.WRONG, Outcome.WRONG: Outcome.NOT_DRAWN}
            outcomes = {n: new.get(o, o) for n, o in outcomes.items()}
        named = u.content is None or self.named(u.content, task)
        if result and self.rules["bisection"] and not named:  # none: nobody was right or wrong
            result = 0
            kept = {Outcome.SILENT}
            outcomes = {n: o if o in kept else Outcome.NOT_DRAWN for n, o in outcomes.items()}
        papers = {n: u.digest.get(i, 0) for i, n in enumerate(self.nodes)}
        return Found(result, outcomes, papers, u.content)

    def named(self, content, task):
        """The work that a content names, 0 none."""
        return content[4 if task == self.rounds else 2]

    # registry

    def register_seller(self, actor, target, amount, tags, value, extra):
        if actor not in self.sellers:
            return Reason.NOT_AUTHORISED
        if actor in self.barred:
            return Reason.BANNED
        if actor in self.here:
            return Reason.ALREADY_DONE
        if tags < 1 or value < 1 or extra[0] < 0 or not 0 <= extra[1] <= 10_000:
            return Reason.BAD_VALUE
        if amount < self.rules["seller_deposit"]:
            return Reason.DEPOSIT_TOO_LOW
        if self.money[actor] < amount:
            return Reason.NOT_ENOUGH_MONEY
        self.listing[actor] = (tags, value, target)
        self.ask[actor] = (extra[0], extra[1])
        return self._join(actor, amount)

    def set_ask(self, actor, target, amount, tags, value, extra):
        if actor not in self.sellers:
            return Reason.NOT_AUTHORISED
        if actor not in self.here:
            return Reason.NOT_REGISTERED
        if amount < 0 or not 0 <= value <= 10_000:
            return Reason.BAD_VALUE
        has = self.listing[actor][0]
        if any(j.phase == Phase.AUCTION and j.tags & has == j.tags for j in self.jobs):
            return Reason.TOO_LATE
        self.ask[actor] = (amount, value)
        return Reason.OK

    def register_node(self, actor, target, amount, tags, value, extra):
        if actor not in self.nodes:
            return Reason.NOT_AUTHORISED
        if actor in self.barred:
            return Reason.BANNED
        if actor in self.here:
            return Reason.ALREADY_DONE
        if amount < self.rules["node_stake"]:
            return Reason.DEPOSIT_TOO_LOW
        if self.money[actor] < amount:
            return Reason.NOT_ENOUGH_MONEY
        return self._join(actor, amount)

    def _join(self, actor, amount):
        self.here.add(actor)
        self.money[actor] -= amount
        self.stake[actor] += amount
        return Reason.OK

    def top_up(self, actor, target, amount, tags, value, extra):
        if actor not in self.here:
            return Reason.NOT_REGISTERED
        if actor in self.barred:
            return Reason.BANNED
        if amount < 1:
            return Reason.BAD_VALUE
        if self.money[actor] < amount:
            return Reason.NOT_ENOUGH_MONEY
        return self._join(actor, amount)

    def request_withdrawal(self, actor, target, amount, tags, value, extra):
        if actor not in self.here:
            return Reason.NOT_REGISTERED
        if amount < 1:
            return Reason.BAD_VALUE
        if amount > self.stake[actor]:
            return Reason.NOT_ENOUGH_MONEY
        self.exit[actor] = (amount, self.block)
        return Reason.OK

    def withdraw(self, actor, target, amount, tags, value, extra):
        if actor not in self.here:
            return Reason.NOT_REGISTERED
        asked, when = self.exit[actor]
        if asked == 0:
            return Reason.WRONG_PHASE
        if self.block < when + self.rules["withdrawal_delay"]:
            return Reason.TOO_EARLY
        paid = min(asked, self.stake[actor])
        self.stake[actor] -= paid
        self.money[actor] += paid
        self.exit[actor] = (0, when)
        inside = [
            x.get(actor, 0) for j in self.jobs for x in (j.locked, j.pledged, j.held, j.earned)
        ]
        if self.stake[actor] + sum(inside) == 0:
            self.here.discard(actor)
        return Reason.OK

    # auction

    def _may_bid(self, j, tags, is_good):
        if j.phase == Phase.AUCTION and self.block >= j.since + self.rules["auction_window"]:
            return Reason.TOO_LATE
        if tags < 1 or not is_good:
            return Reason.BAD_VALUE
        if j.phase == Phase.AUCTION and tags != j.tags:
            return Reason.WRONG_TAGS
        elsewhere = [o for o in self.jobs if o.phase == Phase.AUCTION and o.tags == tags]
        if j.phase == Phase.IDLE and elsewhere:
            return Reason.TAGS_TAKEN
        return Reason.OK

    def bid(self, j, actor, amount, tags, value, extra):
        refused = self._may_bid(j, tags, 0 <= value <= 10_000)
        if refused:
            return refused
        before = j.bids.get(actor, 0)
        least = before + max(1, part(before, self.rules["min_increment_bps"])) if before else 0
        if amount < max(1, self.rules["reserve"], least):
            return Reason.BID_TOO_LOW
        if self.money[actor] < amount - before:
            return Reason.NOT_ENOUGH_MONEY
        if all(amount > other for other in j.bids.values()):
            j.buyer = actor
        self.money[actor] -= amount - before
        j.bids[actor] = j.paid_in[actor] = amount
        j.asked[actor] = (value, extra[0], extra[1])
        j.phase, j.tags, j.since = Phase.AUCTION, tags, self.block
        return Reason.OK

    def seal(self, j, actor, amount, tags, value, extra):
        refused = self._may_bid(j, tags, value != 0)
        if refused:
            return refused
        if actor in j.seals:
            return Reason.ALREADY_DONE
        if amount < max(1, self.rules["reserve"]):
            return Reason.BID_TOO_LOW
        if self.money[actor] < amount:
            return Reason.NOT_ENOUGH_MONEY
        if j.phase == Phase.IDLE:
            j.since = self.block
        self.money[actor] -= amount
        j.paid_in[actor], j.seals[actor] = amount, value
        j.phase, j.tags = Phase.AUCTION, tags
        return Reason.OK

    def reveal(self, j, actor, amount, tags, value, extra):
        opens = j.since + self.rules["auction_window"]
        if self.block < opens:
            return Reason.TOO_EARLY
        if self.block >= opens + self.rules["reveal_window"]:
            return Reason.TOO_LATE
        words = (self.jobs.index(j), actor, amount, value, *extra)
        if not 0 <= value <= 10_000 or j.seals.get(actor) != mix(*words):
            return Reason.BAD_VALUE
        if amount < max(1, self.rules["reserve"]):
            return Reason.BID_TOO_LOW
        if amount > j.paid_in[actor]:
            return Reason.NOT_ENOUGH_MONEY
        if actor in j.bids:
            return Reason.ALREADY_DONE
        if not j.frozen:
            j.frozen, j.offered = True, self._offers(j.since)
        j.bids[actor], j.asked[actor] = amount, (value, extra[0], extra[1])
        return Reason.OK

    def close_auction(self, j, actor, amount, tags, value, extra):
        sealed = self.rules["sealed"]
        ends = j.since + self.rules["auction_window"] + sealed * self.rules["reveal_window"]
        if self.block < ends:
            return Reason.TOO_EARLY
        if sealed:
            best = max(j.bids.values(), default=0)
            j.buyer = min((u for u, b in j.bids.items() if b == best), default=-1)
        else:
            j.offered = self._offers(j.since)
        for u, deposit in j.paid_in.items():
            forfeit = 0 if u in j.bids else part(deposit, self.rules["unrevealed_bps"])
            self.burned += forfeit
            self.money[u] += deposit - forfeit
        j.paid_in = {}
        if j.buyer >= 0:
            own = j.bids[j.buyer]
            others = [b for u, b in j.bids.items() if u != j.buyer]
            second = min(own, max(1, self.rules["reserve"], *others, 0))
            j.price = second if self.rules["second_price"] else own
            j.tau_bps, j.model, j.metric = j.asked[j.buyer]
            self.money[j.buyer] -= j.price
        seller, fee = part(j.price, self.rules["seller_bps"]), part(j.price, self.rules["fee_bps"])
        j.pot.update(seller=seller, fee=fee, compute=j.price - seller - fee)
        sellers = [s for s in self.sellers if self._works_for(s, j)]
        nodes = [n for n, o in j.offered.items() if o and self._can_pledge(n, o, j.since)]
        too_few = len(sellers) < max(1, self.rules["min_sellers"])
        if j.buyer < 0 or too_few or len(nodes) < max(1, self.rules["min_nodes"]):
            return self._close(j, Phase.ABORTED, {}, 0)
        for s in sellers:
            self.stake[s] -= self.rules["seller_deposit"]
            j.locked[s] = self.rules["seller_deposit"]
        for n in nodes:
            self.stake[n] -= j.offered[n]
            j.pledged[n] = j.offered[n]
        j.phase, j.since = Phase.MATCHED, self.block
        j.serial += 1
        return Reason.OK

    def _offers(self, since):
        """What each node that can would pledge now."""
        least, found = self.rules["node_stake"], {}
        for n in self.nodes:
            if self._can_pledge(n, least, since):
                found[n] = self._free(n, since) if self.rules["by_stake"] else least
        return found

    # escrow

    def _free(self, who, since):
        """Its stake, less what it asked back before the auction."""
        asked, when = self.exit[who]
        return self.stake[who] - (asked if when < since else 0)

    def _can_pledge(self, who, amount, since):
        is_in = who in self.here and who not in self.barred
        return is_in and self._free(who, since) >= amount

    def _works_for(self, s, j):
        """Fits and has consented."""
        if not self._can_pledge(s, self.rules["seller_deposit"], j.since):
            return False
        least_pool, highest_tau = self.ask[s]
        return (
            j.tags & self.listing[s][0] == j.tags
            and self.reputation[s] >= self.rules["min_reputation_bps"]
            and j.pot["seller"] >= least_pool
            and j.tau_bps <= highest_tau
        )

    def _close(self, j, phase, pay, fee):
        for seller, amount in pay.items():
            self.money[seller] += amount
        self.money[self.treasury] += fee
        held = sum(j.held.values())
        kept = min(held - part(held, self.rules["burn_bps"]), sum(j.earned.values()))
        self.burned += held - kept
        bonus = self._share(kept, j.earned)
        for node in self.nodes:
            self.money[node] += j.earned.get(node, 0) + bonus.get(node, 0)
            self.stake[node] += j.pledged.get(node, 0)
        for seller, amount in j.locked.items():
            self.stake[seller] += amount
            j.locked[seller] = 0
        j.to_sellers, j.to_treasury = sum(pay.values()), fee
        j.to_nodes += sum(j.earned.values()) + sum(bonus.values())
        rest = j.pot["forfeited"] - (j.to_sellers if j.spoilt else 0)
        burned = min(rest, part(j.joined, self.rules["burn_bps"]))
        self.burned += burned
        j.to_buyer = sum(j.pot[name] for name in ("seller", "compute", "fee")) - fee
        j.to_buyer += rest - burned + kept - sum(bonus.values())
        j.to_buyer -= 0 if j.spoilt else j.to_sellers
        j.joined += kept - burned
        if j.buyer >= 0:
            self.money[j.buyer] += j.to_buyer
        j.pledged, j.held, j.earned = {}, {}, {}
        if j.disputer >= 0:
            self.money[j.disputer] += j.pot["bond"]
        j.pot = dict.fromkeys(j.pot, 0)
        j.phase, j.since = phase, self.block
        return Reason.OK

    def time_out(self, j, actor, amount, tags, value, extra):
        if self.block < j.since + self.rules["timeout"]:
            return Reason.TOO_EARLY
        if j.phase == Phase.DISPUTED and self.rules["bisection"]:
            if not j.stood or j.ruled < 0 or not self._is_late(j):
                return Reason.TOO_EARLY
            self.burned += j.pot["bond"]  # nobody has disproved what is accepted
            j.serial += 1
            return self._undisputed(j)
        if j.phase == Phase.VERIFY and not j.opened:
            pay = self._share(j.pot["seller"], {s: 1 for s in j.locked if s not in j.out})
            return self._close(j, Phase.SETTLED, pay, j.pot["fee"])
        return self._close(j, Phase.REFUNDED, self._for_spoilt_work(j), 0)

    def _is_late(self, j):
        """Nobody has shown a content since the case was closed."""
        return self.block >= j.ruled + self.rules["content_window"]

    def _for_spoilt_work(self, j):
        """What the sellers get of a job of which a round was overturned: money of the guilty."""
        if not j.spoilt:
            return {}
        weights = j.weights if sum(j.weights.values()) else dict.fromkeys(j.locked, 1)
        return self._share(min(j.pot["forfeited"], j.pot["seller"]), weights)

    def open_metric(self, j, actor, amount, tags, value, extra):
        if actor != j.buyer:
            return Reason.NOT_AUTHORISED
        if j.opened:
            return Reason.ALREADY_DONE
        if mix(value, extra[0]) != j.metric:
            return Reason.BAD_VALUE
        j.opened, j.since = True, self.block
        return Reason.OK

    def take(self, j, actor, amount, tags, value, extra):
        if actor != j.buyer:
            return Reason.NOT_AUTHORISED
        if j.metric_bps >= j.tau_bps or j.spoilt:
            return Reason.ALREADY_DONE
        if self.block >= j.since + self.rules["challenge_window"]:
            return Reason.TOO_LATE
        j.tau_bps = j.metric_bps
        return Reason.OK

    # settlement

    def book_round(self, j, actor, amount, tags, value, extra):
        found = self.found(j, j.round)
        if found is None:
            return Reason.TOO_EARLY
        self._reward_and_slash(j, found.outcomes)
        j.results[j.round], j.papers[j.round] = found.result, found.papers
        reached = 0
        if found.result:
            self._rate(j, found.content[5 : 5 + len(self.sellers)])
            reached = j.opened and 0 < found.content[0] >= j.tau_bps
        j.round += 1
        j.phase = Phase.VERIFY if j.round >= self.rounds or reached else Phase.TRAINING
        j.since = self.block
        j.serial += 1
        return Reason.OK

    def book_verification(self, j, actor, amount, tags, value, extra):
        found = self.found(j, self.rounds)
        if found is None:
            return Reason.TOO_EARLY
        self._reward_and_slash(j, found.outcomes)
        j.serial += 1
        if found.result:
            j.results[self.rounds], j.papers[self.rounds] = found.result, found.papers
            self._measure(j, found.content)
            j.phase, j.since = Phase.CHALLENGE, self.block
        return Reason.OK

    def _measure(self, j, content):
        """The metric, the first metric, what each seller's work is worth, who did harm."""
        number = len(self.sellers)
        weights = dict(zip(self.sellers, content[5 : 5 + number]))
        harm = dict(zip(self.sellers, content[5 + number :]))
        j.metric_bps, j.base_bps = content[:2]
        j.weights = {s: weights[s] for s in j.locked}
        j.out = {s for s in j.locked if harm[s]}

    def _reward_and_slash(self, j, outcomes):
        workers = self._workers(j, outcomes)
        self._slash(j, outcomes)
        for node, pay in self._wages(j, workers, j.pot["compute"]).items():
            j.earned[node] = j.earned.get(node, 0) + pay
            j.pot["compute"] -= pay

    def _workers(self, j, outcomes):
        """Who is paid for a unit: matching, with a pledge, in good standing."""
        able = [n for n in self.nodes if j.pledged.get(n, 0) and n not in self.barred]
        return [n for n in able if outcomes[n] == Outcome.MATCHED]

    def _cap(self):
        """The largest int32 stands for no cap."""
        cap = self.rules["reward_cap"]
        return math.inf if cap == 2**31 - 1 else cap

    def _wages(self, j, workers, purse):
        """The money of a unit in equal parts, capped."""
        money = min(self._round_money(j), purse) // max(len(workers), 1)
        return dict.fromkeys(workers, min(self._cap(), money))

    def _slash(self, j, outcomes):
        names = {Outcome.WRONG: "slash_wrong_bps", Outcome.SILENT: "slash_silent_bps"}
        for node, outcome in outcomes.items():
            if outcome in names:
                fine = self._fine(j, node, self.rules[names[outcome]])
                j.pledged[node] = j.pledged.get(node, 0) - fine
                j.held[node] = j.held.get(node, 0) + fine

    def _fine(self, j, node, bps):
        """A share of the pledge as it was made, or what is left of it."""
        left = j.pledged.get(node, 0)
        return min(left, part(left + j.held.get(node, 0), bps))

    def _round_money(self, j):
        shares = self.rules["seller_bps"], self.rules["fee_bps"]
        compute = j.price - sum(part(j.price, share) for share in shares)
        return compute // (self.rounds + 1)

    def _burn(self, lost):
        burned = part(lost, self.rules["burn_bps"])
        self.burned += burned
        return lost - burned

    def _rate(self, j, verdicts):
        gain, floor = self.rules["reputation_gain_bps"], self.rules["reputation_floor_bps"]
        for seller, verdict in zip(self.sellers, verdicts):
            if seller in j.locked and verdict != Verdict.NOT_SAMPLED:
                good = gain if verdict == Verdict.ACCEPTED else 0
                new = part(self.reputation[seller], 10_000 - gain) + good
                self.reputation[seller] = min(10_000, max(floor, new))

    def _split(self, j, pot):
        return self._share(pot, {s: 0 if s in j.out else w for s, w in j.weights.items()})

    def _share(self, pot, weights):
        """Cumulative shares rounded down, so the parts add up; of accounts in order."""
        total = sum(weights.values())
        pay, before, after = {}, 0, 0
        for who, weight in sorted(weights.items()):
            after += weight
            if total:
                pay[who] = pot * after // total - pot * before // total
            before = after
        return pay

    def settle(self, j, actor, amount, tags, value, extra):
        if self.block < j.since + self.rules["challenge_window"]:
            return Reason.TOO_EARLY
        if j.spoilt:
            return self._close(j, Phase.REFUNDED, self._for_spoilt_work(j), 0)
        for seller in j.out:
            fine = part(j.locked[seller], self.rules["slash_harm_bps"])
            j.locked[seller] -= fine
            self.money[j.buyer] += self._burn(fine)
            self.barred.add(seller)
        if j.metric_bps >= j.tau_bps:
            return self._close(j, Phase.SETTLED, self._split(j, j.pot["seller"]), j.pot["fee"])
        work, way = part(j.pot["seller"], self.rules["work_bps"]), j.metric_bps - j.base_bps
        if self.rules["partial_payment"] and way > 0:
            work = max(work, j.pot["seller"] * way // (j.tau_bps - j.base_bps))
        fee = 0 if self.rules["refund_fee"] else j.pot["fee"]
        return self._close(j, Phase.REFUNDED, self._split(j, work), fee)

    # disputes

    def open_dispute(self, j, actor, amount, tags, value, extra):
        if self.block >= j.since + self.rules["challenge_window"]:
            return Reason.TOO_LATE
        if not j.results.get(value, 0):
            return Reason.BAD_VALUE
        bond = max(1, part(j.price, self.rules["bond_bps"]))
        if self.money[actor] < bond:
            return Reason.NOT_ENOUGH_MONEY
        self.money[actor] -= bond
        j.pot["bond"] = bond
        j.disputer, j.disputed_unit = actor, value
        j.phase, j.since = Phase.DISPUTED, self.block
        j.ruled, j.ruling, j.stood, j.proven, j.finder = -1, 0, False, False, -1
        j.serial += 1
        return Reason.OK

    def close_case(self, j, target, value, extra):
        if not self.rules["bisection"]:
            return Reason.WRONG_FORMAT
        if j.ruled >= 0:
            return Reason.ALREADY_DONE
        j.ruled, j.ruling = self.block, value
        j.stood = extra[0] != 0 or (value != 0 and value == j.results[j.disputed_unit])
        if not j.stood:
            j.proven = extra[1] != 0
            j.finder = target if target in self.everyone else -1
        return Reason.OK

    def book_case(self, j, payload):
        if not self.rules["bisection"]:
            return Reason.WRONG_FORMAT
        if j.ruled < 0:
            return Reason.TOO_EARLY
        content, verifies = payload[: 2 * len(self.sellers) + 5], j.disputed_unit == self.rounds
        others = verifies and content[2:4] != [j.model, j.metric]
        good = self.votes.well_formed(content, verifies) and not others
        good = good and self.named(content, j.disputed_unit)
        result = j.ruling if any(content) else 0
        if result == 0 and any(content):
            return Reason.BAD_VALUE
        if result and (not good or self.votes.hash(content) != result):
            return Reason.BAD_VALUE
        if not result and j.stood:
            return Reason.BAD_VALUE
        if not result and not self._is_late(j):
            return Reason.TOO_EARLY
        nobody = dict.fromkeys(self.nodes, Outcome.NOT_DRAWN)
        return self._book(j, Found(result, nobody, dict.fromkeys(self.nodes, 0), content))

    def book_dispute(self, j, actor, amount, tags, value, extra):
        if self.rules["bisection"]:
            return Reason.WRONG_FORMAT
        found = self.found(j, j.disputed_unit)
        return Reason.TOO_EARLY if found is None else self._book(j, found)

    def _book(self, j, found):
        """What the dispute came to."""
        j.serial += 1
        if not found.result and not self.rules["bisection"]:
            self._slash(j, found.outcomes)
            return Reason.OK
        if found.result == j.results[j.disputed_unit]:
            self._reject(j, found)
        else:
            self._overturn(j, found)
        return self._undisputed(j)

    def _undisputed(self, j):
        j.pot["bond"] = 0
        j.disputer = j.disputed_unit = -1
        j.phase, j.since = Phase.CHALLENGE, self.block
        return Reason.OK

    def _reject(self, j, found):
        """The bond is lost: it pays who executed again, the rest is burned."""
        wages = self._wages(j, self._workers(j, found.outcomes), j.pot["bond"])
        self._slash(j, found.outcomes)
        for node, pay in wages.items():
            self.money[node] += pay
        self.burned += j.pot["bond"] - sum(wages.values())

    def _overturn(self, j, found):
        """Who voted for the old result pays those who did not, who worked, who disputed."""
        unit, bps = j.disputed_unit, self.rules["slash_wrong_bps"]
        before = j.papers[unit]
        guilty = [n for n in self.nodes if before[n] == j.results[unit]]
        right = [n for n in self.nodes if found.result and before[n] == found.result]
        for node in right:
            held = j.held.get(node, 0)
            back = min(held, part(held + j.pledged.get(node, 0), bps))
            j.held[node] = held - back
            j.pledged[node] = j.pledged.get(node, 0) + back
        pledges, purse = 0, j.pot["forfeited"]  # what earlier falls have left
        for node in guilty:
            fine = self._fine(j, node, bps)
            j.pledged[node] = j.pledged.get(node, 0) - fine
            pledges += fine
            purse += fine + j.earned.pop(node, 0)
        honest = [n for n in right if n not in self.barred]
        if honest:
            each = min(self._cap(), self._round_money(j) // len(honest))
            missed = min(each * len(honest), purse)
            for node, pay in self._share(missed, dict.fromkeys(honest, 1)).items():
                j.earned[node] = j.earned.get(node, 0) + pay
                purse -= pay
        again = {n: o for n, o in found.outcomes.items() if n not in guilty}
        workers = self._workers(j, {**dict.fromkeys(guilty, Outcome.NOT_DRAWN), **again})
        self._slash(j, again)
        for node, pay in self._wages(j, workers, purse).items():
            j.earned[node] = j.earned.get(node, 0) + pay
            purse -= pay
        prize = min(purse, j.pot["bond"])
        self.money[j.disputer] += j.pot["bond"]
        self.money[j.disputer if j.finder < 0 else j.finder] += prize
        j.to_nodes += prize
        j.joined += pledges
        j.pot["forfeited"] = purse - prize
        if not self.rules["bisection"] or j.proven or j.stood:
            self.barred |= set(guilty)
        j.results[unit], j.papers[unit] = found.result or j.results[unit], found.papers
        if unit == self.rounds:
            self._measure(j, found.content)
        if unit < self.rounds or not found.result:
            j.spoilt = True

    # to compare

    def everything(self):
        """The whole state under the names of the JAX ledger and votes; all but `votes.points`."""
        listing = [self.listing.get(s, (0, 0, 0)) for s in self.sellers]
        jobs, units = self.jobs, range(self.layout.num_units)
        seller_of = [[s in j.locked for s in self.sellers] for j in jobs]
        return {
            "balances": list(self.money.values()),
            "stakes": list(self.stake.values()),
            "exits": [self.exit[a][0] for a in self.everyone],
            "exit_blocks": [self.exit[a][1] for a in self.everyone],
            "registered": [a in self.here for a in self.everyone],
            "banned": [a in self.barred for a in self.everyone],
            "tags": [entry[0] for entry in listing],
            "sizes": [entry[1] for entry in listing],
            "commitments": [entry[2] for entry in listing],
            "asks": [self.ask.get(s, (0, 0))[0] for s in self.sellers],
            "max_taus": [self.ask.get(s, (0, 0))[1] for s in self.sellers],
            "reputation_bps": list(self.reputation.values()),
            "burned": self.burned,
            "block": self.block,
            "jobs.phase": [int(j.phase) for j in jobs],
            "jobs.since": [j.since for j in jobs],
            "jobs.tags": [j.tags for j in jobs],
            "jobs.buyer": [j.buyer for j in jobs],
            "jobs.tau_bps": [j.tau_bps for j in jobs],
            "jobs.metric_bps": [j.metric_bps for j in jobs],
            "jobs.base_bps": [j.base_bps for j in jobs],
            "jobs.bids": [[j.bids.get(u, 0) for u in self.buyers] for j in jobs],
            "jobs.deposits": [[j.paid_in.get(u, 0) for u in self.buyers] for j in jobs],
            "jobs.seals": [[j.seals.get(u, 0) for u in self.buyers] for j in jobs],
            "jobs.taus": [[j.asked.get(u, (0, 0, 0))[0] for u in self.buyers] for j in jobs],
            "jobs.models": [[j.asked.get(u, (0, 0, 0))[1] for u in self.buyers] for j in jobs],
            "jobs.metrics": [[j.asked.get(u, (0, 0, 0))[2] for u in self.buyers] for j in jobs],
            "jobs.model": [j.model for j in jobs],
            "jobs.metric": [j.metric for j in jobs],
            "jobs.price": [j.price for j in jobs],
            "jobs.seller_pool": [j.pot["seller"] for j in jobs],
            "jobs.compute_pool": [j.pot["compute"] for j in jobs],
            "jobs.fee_pool": [j.pot["fee"] for j in jobs],
            "jobs.bond": [j.pot["bond"] for j in jobs],
            "jobs.locked": [[j.locked.get(s, 0) for s in self.sellers] for j in jobs],
            "jobs.matched": seller_of,
            "jobs.excluded": [[s in j.out for s in self.sellers] for j in jobs],
            "jobs.weights": [[j.weights.get(s, 0) for s in self.sellers] for j in jobs],
            "jobs.pledged": [[j.pledged.get(n, 0) for n in self.nodes] for j in jobs],
            "jobs.released": [j.phase == Phase.SETTLED for j in jobs],
            "jobs.held": [[j.held.get(n, 0) for n in self.nodes] for j in jobs],
            "jobs.earned": [[j.earned.get(n, 0) for n in self.nodes] for j in jobs],
            "jobs.round": [j.round for j in jobs],
            "jobs.opened": [j.opened for j in jobs],
            "jobs.disputer": [j.disputer for j in jobs],
            "jobs.disputed_unit": [j.disputed_unit for j in jobs],
            "jobs.ruled": [j.ruled for j in jobs],
            "jobs.ruling": [j.ruling for j in jobs],
            "jobs.stood": [j.stood for j in jobs],
            "jobs.proven": [j.proven for j in jobs],
            "jobs.finder": [j.finder for j in jobs],
            "jobs.spoilt": [j.spoilt for j in jobs],
            "jobs.forfeited": [j.pot["forfeited"] for j in jobs],
            "jobs.serial": [j.serial for j in jobs],
            "jobs.results": [[j.results.get(u, 0) for u in units] for j in jobs],
            "jobs.papers": [
                [[j.papers.get(u, {}).get(n, 0) for n in self.nodes] for u in units] for j in jobs
            ],
            "jobs.offered": [[j.offered.get(n, 0) for n in self.nodes] for j in jobs],
            "jobs.frozen": [j.frozen for j in jobs],
            "jobs.compensation": [j.joined for j in jobs],
            "jobs.compute_paid": [j.to_nodes for j in jobs],
            "jobs.seller_paid": [j.to_sellers for j in jobs],
            "jobs.fee_paid": [j.to_treasury for j in jobs],
            "jobs.refunded": [j.to_buyer for j in jobs],
            **{f"votes.{name}": values for name, values in self.votes.everything().items()},
        }
