"""The ledger again, slow and obvious: Python integers, dictionaries, early returns.

Written from the documents, not from the JAX code, and sharing with it only the names of phases,
kinds and receipts. `act` returns the first reason for refusal or OK.
"""

import dataclasses

from d2m_jax.ledger import Finding, Kind, Outcome, Phase, Reason, Ruling, Verdict

BLOCK_MAX = 2**31 - 1
DONE = (Phase.SETTLED, Phase.REFUNDED, Phase.ABORTED)


def part(amount, bps):
    """Basis points of an amount, rounded down."""
    return amount * bps // 10_000


def mix(*words):
    """An int32 of words: (job, buyer, amount, tau, model, metric, salt) is a seal, (content, salt)
    the digest of a metric."""
    h = 0x811C9DC5
    for word in words:
        h = (h ^ (word % 2**32)) * 0x85EBCA6B % 2**32
        h ^= h >> 13
        h = h * 0xC2B2AE35 % 2**32
        h ^= h >> 16
    return (h - 2**32 if h >= 2**31 else h) or 1


@dataclasses.dataclass
class Job:
    phase: Phase = Phase.IDLE
    since: int = 0
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
    pot: dict = dataclasses.field(default_factory=dict)  # seller, compute, fee, bond
    locked: dict = dataclasses.field(default_factory=dict)  # seller account -> deposit
    out: set = dataclasses.field(default_factory=set)  # seller accounts that forfeit
    weights: dict = dataclasses.field(default_factory=dict)
    pledged: dict = dataclasses.field(default_factory=dict)  # node account -> what is left of it
    held: dict = dataclasses.field(default_factory=dict)  # node account -> slashed, not spent
    earned: dict = dataclasses.field(default_factory=dict)  # node account -> not paid yet
    missed: dict = dataclasses.field(
        default_factory=dict
    )  # node account -> not earned, being wrong
    round: int = 0
    rated: int = 0
    opened: int = 0
    disputer: int = -1
    accused: int = -1
    disputed_round: int = -1
    joined: int = 0
    to_nodes: int = 0
    to_sellers: int = 0
    to_treasury: int = 0
    to_buyer: int = 0

    def __post_init__(self):
        self.pot = {name: 0 for name in ("seller", "compute", "fee", "bond")}


class Model:
    def __init__(self, layout, rules, funds):
        self.layout, self.rules = layout, rules
        accounts = range(layout.num_accounts)
        self.everyone = accounts
        self.buyers = [a for a in accounts][layout.buyers]
        self.sellers = [a for a in accounts][layout.sellers]
        self.nodes = [a for a in accounts][layout.nodes]
        self.arbiter = layout.num_accounts - 1
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
        if kind <= Kind.SET_ASK:
            return getattr(self, name)(actor, target, amount, tags, value, extra)
        if not 0 <= job < len(self.jobs):
            return Reason.UNKNOWN_JOB
        for_arbiter = (
            Kind.SETTLE_ROUND,
            Kind.RATE_SELLERS,
            Kind.SLASH_SELLER,
            Kind.REPORT_METRIC,
            Kind.RESOLVE_DISPUTE,
        )
        if kind in for_arbiter and actor != self.arbiter:
            return Reason.NOT_AUTHORISED
        formats = {Kind.BID: 0, Kind.SEAL: 1, Kind.REVEAL: 1}
        if kind in formats and actor not in self.buyers:
            return Reason.NOT_AUTHORISED
        if kind in formats and self.rules["sealed"] != formats[kind]:
            return Reason.WRONG_FORMAT
        j = self.jobs[job]
        if kind == Kind.RESET_JOB:
            if j.phase not in DONE:
                return Reason.WRONG_PHASE
            self.jobs[job] = Job()
            return Reason.OK
        if j.phase in DONE:
            return Reason.ALREADY_DONE
        allowed = {
            Kind.BID: (Phase.IDLE, Phase.AUCTION),
            Kind.SEAL: (Phase.IDLE, Phase.AUCTION),
            Kind.REVEAL: (Phase.AUCTION,),
            Kind.CLOSE_AUCTION: (Phase.AUCTION,),
            Kind.SETTLE_ROUND: (Phase.MATCHED, Phase.TRAINING),
            Kind.RATE_SELLERS: (Phase.TRAINING, Phase.VERIFY),
            Kind.SLASH_SELLER: (Phase.MATCHED, Phase.TRAINING, Phase.VERIFY, Phase.CHALLENGE),
            Kind.REPORT_METRIC: (Phase.TRAINING, Phase.VERIFY),
            Kind.OPEN_DISPUTE: (Phase.CHALLENGE,),
            Kind.RESOLVE_DISPUTE: (Phase.DISPUTED,),
            Kind.SETTLE: (Phase.CHALLENGE,),
            Kind.OPEN_METRIC: (Phase.MATCHED, Phase.TRAINING, Phase.VERIFY),
            Kind.TAKE: (Phase.CHALLENGE,),
            Kind.TIME_OUT: (Phase.MATCHED, Phase.TRAINING, Phase.VERIFY, Phase.DISPUTED),
        }
        if j.phase not in allowed[Kind(kind)]:
            return Reason.WRONG_PHASE
        rest = extra if kind in (Kind.BID, Kind.REVEAL, Kind.OPEN_METRIC) else payload
        return getattr(self, name)(j, actor, target, amount, tags, value, rest)

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

    def ban(self, actor, target, amount, tags, value, extra):
        if actor != self.arbiter:
            return Reason.NOT_AUTHORISED
        if target not in self.sellers and target not in self.nodes:
            return Reason.UNKNOWN_PARTY
        if (target in self.barred) == (amount != 0):
            return Reason.ALREADY_DONE
        if amount != 0:
            self.barred.add(target)
        else:
            self.barred.discard(target)
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

    def bid(self, j, actor, target, amount, tags, value, extra):
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

    def seal(self, j, actor, target, amount, tags, value, payload):
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

    def reveal(self, j, actor, target, amount, tags, value, extra):
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
        j.bids[actor], j.asked[actor] = amount, (value, extra[0], extra[1])
        return Reason.OK

    def close_auction(self, j, actor, target, amount, tags, value, payload):
        sealed = self.rules["sealed"]
        ends = j.since + self.rules["auction_window"] + sealed * self.rules["reveal_window"]
        if self.block < ends:
            return Reason.TOO_EARLY
        if sealed:
            best = max(j.bids.values(), default=0)
            j.buyer = min((u for u, b in j.bids.items() if b == best), default=-1)
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
        found = [s for s in self.sellers if self._works_for(s, j)]
        if j.buyer < 0 or len(found) < max(1, self.rules["min_sellers"]):
            return self._close(j, Phase.ABORTED, {}, 0)
        for s in found:
            self.stake[s] -= self.rules["seller_deposit"]
            j.locked[s] = self.rules["seller_deposit"]
        for node in self.nodes:
            if self._can_pledge(node, self.rules["node_stake"], j.since):
                self.stake[node] -= self.rules["node_stake"]
                j.pledged[node] = self.rules["node_stake"]
        j.phase, j.since = Phase.MATCHED, self.block
        return Reason.OK

    # escrow

    def _can_pledge(self, who, amount, since):
        """Who asked its money back before the auction has left."""
        asked, when = self.exit[who]
        gone = asked if when < since else 0
        is_in = who in self.here and who not in self.barred
        return is_in and self.stake[who] - gone >= amount

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
        self.money[self.arbiter] += fee
        held = sum(j.held.values())
        j.joined = self._burn(held)
        bonus = self._share(j.joined, j.earned)
        for node in self.nodes:
            self.money[node] += j.earned.get(node, 0) + bonus.get(node, 0)
            self.stake[node] += j.pledged.get(node, 0)
        for seller, amount in j.locked.items():
            self.stake[seller] += amount
            j.locked[seller] = 0
        j.to_sellers, j.to_treasury = sum(pay.values()), fee
        j.to_nodes = sum(j.earned.values()) + sum(bonus.values())
        j.to_buyer = sum(j.pot[name] for name in ("seller", "compute", "fee")) - j.to_sellers - fee
        j.to_buyer += j.joined - sum(bonus.values())
        if j.buyer >= 0:
            self.money[j.buyer] += j.to_buyer
        j.pledged, j.held, j.earned = {}, {}, {}
        if j.disputer >= 0:
            self.money[j.disputer] += j.pot["bond"]
        j.pot = dict.fromkeys(j.pot, 0)
        j.phase, j.since = phase, self.block
        return Reason.OK

    def time_out(self, j, actor, target, amount, tags, value, payload):
        if self.block < j.since + self.rules["timeout"]:
            return Reason.TOO_EARLY
        if j.phase == Phase.VERIFY and not j.opened:
            pay = self._share(j.pot["seller"], {s: 1 for s in j.locked if s not in j.out})
            return self._close(j, Phase.SETTLED, pay, j.pot["fee"])
        return self._close(j, Phase.REFUNDED, {}, 0)

    def open_metric(self, j, actor, target, amount, tags, value, extra):
        if actor != j.buyer:
            return Reason.NOT_AUTHORISED
        if j.opened:
            return Reason.ALREADY_DONE
        if mix(value, extra[0]) != j.metric:
            return Reason.BAD_VALUE
        j.opened, j.since = 1, self.block
        return Reason.OK

    def take(self, j, actor, target, amount, tags, value, payload):
        if actor != j.buyer:
            return Reason.NOT_AUTHORISED
        if j.metric_bps >= j.tau_bps:
            return Reason.ALREADY_DONE
        if self.block >= j.since + self.rules["challenge_window"]:
            return Reason.TOO_LATE
        j.tau_bps = j.metric_bps
        return Reason.OK

    # settlement

    def settle_round(self, j, actor, target, amount, tags, value, payload):
        outcomes = dict(zip(self.nodes, payload))
        if any(o not in list(Outcome) for o in outcomes.values()):
            return Reason.BAD_VALUE
        able = {n: o for n, o in outcomes.items() if j.pledged.get(n, 0) and n not in self.barred}
        for mark, book in ((Outcome.MATCHED, j.earned), (Outcome.WRONG, j.missed)):
            nodes = [n for n, o in able.items() if o == mark]
            for node in nodes:
                part_of_it = min(self.rules["reward_cap"], self._round_money(j) // len(nodes))
                book[node] = book.get(node, 0) + part_of_it
                if book is j.earned:
                    j.pot["compute"] -= part_of_it
        for node, outcome in outcomes.items():
            self._hold(j, node, outcome)
        j.round += 1
        j.phase = Phase.VERIFY if j.round >= self.rules["num_rounds"] else Phase.TRAINING
        j.since = self.block
        return Reason.OK

    def _hold(self, j, node, outcome):
        rule = {Outcome.WRONG: "slash_wrong_bps", Outcome.SILENT: "slash_silent_bps"}.get(outcome)
        if rule and node in j.pledged:
            fine = part(j.pledged[node], self.rules[rule])
            j.pledged[node] -= fine
            j.held[node] = j.held.get(node, 0) + fine

    def _round_money(self, j):
        shares = self.rules["seller_bps"], self.rules["fee_bps"]
        compute = j.price - sum(part(j.price, share) for share in shares)
        return compute // self.rules["num_rounds"]

    def _burn(self, lost):
        burned = part(lost, self.rules["burn_bps"])
        self.burned += burned
        return lost - burned

    def rate_sellers(self, j, actor, target, amount, tags, value, payload):
        verdicts = dict(zip(self.sellers, payload))
        if j.rated >= j.round:
            return Reason.ALREADY_DONE
        if any(v not in list(Verdict) for v in verdicts.values()):
            return Reason.BAD_VALUE
        j.rated = j.round
        gain, floor = self.rules["reputation_gain_bps"], self.rules["reputation_floor_bps"]
        for seller in j.locked:
            if verdicts[seller] != Verdict.NOT_SAMPLED:
                good = gain if verdicts[seller] == Verdict.ACCEPTED else 0
                new = part(self.reputation[seller], 10_000 - gain) + good
                self.reputation[seller] = min(10_000, max(floor, new))
        return Reason.OK

    def slash_seller(self, j, actor, target, amount, tags, value, payload):
        if target not in j.locked:
            return Reason.UNKNOWN_PARTY
        if target in j.out:
            return Reason.ALREADY_DONE
        self.money[j.buyer] += self._burn(self._fine_seller(j, target))
        return Reason.OK

    def _fine_seller(self, j, seller):
        fine = part(j.locked[seller], self.rules["slash_harm_bps"])
        j.locked[seller] -= fine
        j.out.add(seller)
        self.barred.add(seller)
        return fine

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

    def report_metric(self, j, actor, target, amount, tags, value, payload):
        weights = dict(zip(self.sellers, payload))
        if not 0 <= amount <= 10_000 or not 0 <= value <= 10_000:
            return Reason.BAD_VALUE
        if any(not 0 <= w <= 2**15 for w in weights.values()):
            return Reason.BAD_VALUE
        if not j.opened or (j.phase == Phase.TRAINING and amount < j.tau_bps):
            return Reason.TOO_EARLY
        j.metric_bps, j.base_bps = amount, value
        j.weights = {s: w for s, w in weights.items() if s in j.locked}
        j.phase, j.since = Phase.CHALLENGE, self.block
        return Reason.OK

    def settle(self, j, actor, target, amount, tags, value, payload):
        if self.block < j.since + self.rules["challenge_window"]:
            return Reason.TOO_EARLY
        if j.metric_bps >= j.tau_bps:
            return self._close(j, Phase.SETTLED, self._split(j, j.pot["seller"]), j.pot["fee"])
        work, way = part(j.pot["seller"], self.rules["work_bps"]), j.metric_bps - j.base_bps
        if self.rules["partial_payment"] and way > 0:
            work = max(work, j.pot["seller"] * way // (j.tau_bps - j.base_bps))
        pay = self._split(j, work)
        fee = 0 if self.rules["refund_fee"] else j.pot["fee"]
        return self._close(j, Phase.REFUNDED, pay, fee)

    # disputes

    def open_dispute(self, j, actor, target, amount, tags, value, payload):
        workers = set(j.locked) | (self.here & set(self.nodes))
        if actor != j.buyer and actor not in workers:
            return Reason.NOT_AUTHORISED
        if self.block >= j.since + self.rules["challenge_window"]:
            return Reason.TOO_LATE
        if target not in workers or target == actor:
            return Reason.UNKNOWN_PARTY
        if not 0 <= value < j.round:
            return Reason.BAD_VALUE
        bond = max(1, part(j.price, self.rules["bond_bps"]))
        if self.money[actor] < bond:
            return Reason.NOT_ENOUGH_MONEY
        self.money[actor] -= bond
        j.pot["bond"] = bond
        j.disputer, j.accused, j.disputed_round = actor, target, value
        j.phase, j.since = Phase.DISPUTED, self.block
        return Reason.OK

    def resolve_dispute(self, j, actor, target, amount, tags, value, payload):
        found = dict(zip(self.nodes, payload))
        if amount not in list(Ruling) or any(f not in list(Finding) for f in found.values()):
            return Reason.BAD_VALUE
        against = amount != Ruling.REJECTED
        lost, forfeited, outvoted, again = 0, 0, {}, []
        for node, finding in found.items():
            guilty = against and (finding == Finding.GUILTY or node == j.accused)
            if guilty and node in self.here:
                fine = part(j.pledged.get(node, 0), self.rules["slash_wrong_bps"])
                j.pledged[node] = j.pledged.get(node, 0) - fine
                lost += fine
                forfeited += j.earned.pop(node, 0)
                self.barred.add(node)
            elif finding in (Finding.WRONG, Finding.SILENT):
                self._hold(j, node, finding)
            elif finding == Finding.OUTVOTED and against:
                j.pledged[node] = j.pledged.get(node, 0) + j.held.pop(node, 0)
                outvoted[node] = j.missed.pop(node, 0)
            elif finding == Finding.MATCHED and node in self.here and node not in self.barred:
                again.append(node)
        if against and j.accused in j.locked:
            lost += self._fine_seller(j, j.accused)
        owed = min(forfeited, sum(outvoted.values()))
        for node, given in self._share(owed, outvoted).items():
            j.earned[node] = j.earned.get(node, 0) + given
        j.pot["compute"] += forfeited - owed
        pot = lost if against else j.pot["bond"]
        if again:
            each = min(self.rules["reward_cap"], min(pot, self._round_money(j)) // len(again))
            for node in again:
                self.money[node] += each
                pot -= each
        if amount == Ruling.UPHELD:
            work = min(pot, part(j.pot["seller"], self.rules["work_bps"]))
            for seller, pay in self._split(j, work).items():
                self.money[seller] += pay
                pot -= pay
        burned = min(pot, part(lost, self.rules["burn_bps"])) if against else pot
        self.burned += burned
        pot -= burned
        if not against:
            return self._go_on(j, Phase.CHALLENGE)
        prize = min(pot, j.pot["bond"])
        self.money[j.disputer] += prize
        self.money[j.buyer] += pot - prize
        if amount == Ruling.UPHELD:
            return self._close(j, Phase.REFUNDED, {}, 0)
        self.money[j.disputer] += j.pot["bond"]
        return self._go_on(j, Phase.VERIFY)

    def _go_on(self, j, phase):
        j.pot["bond"] = 0
        j.disputer = j.accused = j.disputed_round = -1
        j.phase, j.since = phase, self.block
        return Reason.OK

    # to compare

    def money_now(self):
        """Balances, stakes, burned, block and phases as one list."""
        return [
            *self.money.values(),
            *self.stake.values(),
            self.burned,
            self.block,
            *(int(j.phase) for j in self.jobs),
        ]

    def everything(self):
        """The whole state under the names of the JAX ledger."""
        listing = [self.listing.get(s, (0, 0, 0)) for s in self.sellers]
        jobs = self.jobs
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
            "jobs.missed": [[j.missed.get(n, 0) for n in self.nodes] for j in jobs],
            "jobs.released": [j.phase == Phase.SETTLED for j in jobs],
            "jobs.held": [[j.held.get(n, 0) for n in self.nodes] for j in jobs],
            "jobs.earned": [[j.earned.get(n, 0) for n in self.nodes] for j in jobs],
            "jobs.round": [j.round for j in jobs],
            "jobs.rated": [j.rated for j in jobs],
            "jobs.opened": [j.opened for j in jobs],
            "jobs.disputer": [j.disputer for j in jobs],
            "jobs.accused": [j.accused for j in jobs],
            "jobs.disputed_round": [j.disputed_round for j in jobs],
            "jobs.compensation": [j.joined for j in jobs],
            "jobs.compute_paid": [j.to_nodes for j in jobs],
            "jobs.seller_paid": [j.to_sellers for j in jobs],
            "jobs.fee_paid": [j.to_treasury for j in jobs],
            "jobs.refunded": [j.to_buyer for j in jobs],
        }
