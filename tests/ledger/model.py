"""The ledger again, slow and obvious: Python integers, dictionaries, early returns.

Written from the documents, not from the JAX code, and sharing with it only the names of phases,
kinds and receipts. `act` returns the first reason for refusal or OK.
"""

import dataclasses

from d2m_jax.ledger import Finding, Kind, Outcome, Phase, Reason, Ruling, Verdict

BLOCK_MAX = BIGGEST = 2**31 - 1
DONE = (Phase.SETTLED, Phase.REFUNDED, Phase.ABORTED)


def part(amount, bps):
    """Basis points of an amount, rounded down."""
    return amount * bps // 10_000


@dataclasses.dataclass
class Job:
    phase: Phase = Phase.IDLE
    since: int = 0
    tags: int = 0
    buyer: int = -1
    tau_bps: int = 0
    metric_bps: int = 0
    base_bps: int = 0
    bids: list = dataclasses.field(default_factory=list)  # accepted amounts, rising
    price: int = 0
    pot: dict = dataclasses.field(default_factory=dict)  # escrow, seller, compute, fee, bond
    locked: dict = dataclasses.field(default_factory=dict)  # seller account -> deposit
    out: set = dataclasses.field(default_factory=set)  # seller accounts that forfeit
    weights: dict = dataclasses.field(default_factory=dict)
    round: int = 0
    disputer: int = -1
    accused: int = -1
    disputed_round: int = -1
    joined: int = 0
    to_nodes: int = 0
    to_sellers: int = 0
    to_treasury: int = 0
    to_buyer: int = 0

    def __post_init__(self):
        self.pot = {name: 0 for name in ("escrow", "seller", "compute", "fee", "bond")}


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
        self.reputation = dict.fromkeys(self.sellers, 5_000)
        self.block = self.burned = 0
        self.jobs = [Job() for _ in range(layout.num_jobs)]

    def act(self, kind, actor, job, target, amount, tags, value, payload):
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
        if kind <= Kind.BAN:
            return getattr(self, name)(actor, target, amount, tags, value)
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
        if kind == Kind.BID and actor not in self.buyers:
            return Reason.NOT_AUTHORISED
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
            Kind.CLOSE_AUCTION: (Phase.AUCTION,),
            Kind.MATCH: (Phase.CLOSED,),
            Kind.SETTLE_ROUND: (Phase.MATCHED, Phase.TRAINING),
            Kind.RATE_SELLERS: (Phase.TRAINING, Phase.VERIFY),
            Kind.SLASH_SELLER: (Phase.MATCHED, Phase.TRAINING, Phase.VERIFY, Phase.CHALLENGE),
            Kind.REPORT_METRIC: (Phase.TRAINING, Phase.VERIFY),
            Kind.OPEN_DISPUTE: (Phase.CHALLENGE,),
            Kind.RESOLVE_DISPUTE: (Phase.DISPUTED,),
            Kind.SETTLE: (Phase.CHALLENGE,),
            Kind.TIME_OUT: (
                Phase.CLOSED,
                Phase.MATCHED,
                Phase.TRAINING,
                Phase.VERIFY,
                Phase.DISPUTED,
            ),
        }
        if j.phase not in allowed[Kind(kind)]:
            return Reason.WRONG_PHASE
        return getattr(self, name)(j, actor, target, amount, tags, value, payload)

    # registry

    def register_seller(self, actor, target, amount, tags, value):
        if actor not in self.sellers:
            return Reason.NOT_AUTHORISED
        if actor in self.barred:
            return Reason.BANNED
        if actor in self.here:
            return Reason.ALREADY_DONE
        if tags < 1 or value < 1:
            return Reason.BAD_VALUE
        if amount < self.rules["seller_deposit"]:
            return Reason.DEPOSIT_TOO_LOW
        if self.money[actor] < amount:
            return Reason.NOT_ENOUGH_MONEY
        self.listing[actor] = (tags, value, target)
        return self._join(actor, amount)

    def register_node(self, actor, target, amount, tags, value):
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

    def top_up(self, actor, target, amount, tags, value):
        if actor not in self.here:
            return Reason.NOT_REGISTERED
        if actor in self.barred:
            return Reason.BANNED
        if amount < 1:
            return Reason.BAD_VALUE
        if self.money[actor] < amount:
            return Reason.NOT_ENOUGH_MONEY
        return self._join(actor, amount)

    def request_withdrawal(self, actor, target, amount, tags, value):
        if actor not in self.here:
            return Reason.NOT_REGISTERED
        if amount < 1:
            return Reason.BAD_VALUE
        if amount > self.stake[actor]:
            return Reason.NOT_ENOUGH_MONEY
        self.exit[actor] = (amount, self.block)
        return Reason.OK

    def withdraw(self, actor, target, amount, tags, value):
        if actor not in self.here:
            return Reason.NOT_REGISTERED
        asked, when = self.exit[actor]
        if asked == 0:
            return Reason.WRONG_PHASE
        if self.block < when + self.rules["withdrawal_delay"]:
            return Reason.TOO_EARLY
        if actor in self.nodes and any(
            j.phase not in (Phase.IDLE, Phase.AUCTION, Phase.CLOSED, *DONE) for j in self.jobs
        ):
            return Reason.TOO_EARLY
        paid = min(asked, self.stake[actor])
        self.stake[actor] -= paid
        self.money[actor] += paid
        self.exit[actor] = (0, when)
        if self.stake[actor] == 0 and not any(j.locked.get(actor, 0) for j in self.jobs):
            self.here.discard(actor)
        return Reason.OK

    def ban(self, actor, target, amount, tags, value):
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

    def bid(self, j, actor, target, amount, tags, value, payload):
        running = j.phase == Phase.AUCTION
        if running and self.block >= j.since + self.rules["auction_window"]:
            return Reason.TOO_LATE
        if tags < 1 or not 0 <= value <= 10_000:
            return Reason.BAD_VALUE
        if running and tags != j.tags:
            return Reason.WRONG_TAGS
        if not running and any(o.phase == Phase.AUCTION and o.tags == tags for o in self.jobs):
            return Reason.TAGS_TAKEN
        if running and actor == j.buyer:
            return Reason.ALREADY_LEADING
        if running:
            best = j.bids[-1]
            least = best + max(1, part(best, self.rules["min_increment_bps"]))
        else:
            least = max(1, self.rules["reserve"])
        if amount < least:
            return Reason.BID_TOO_LOW
        if self.money[actor] < amount:
            return Reason.NOT_ENOUGH_MONEY
        if running:
            self.money[j.buyer] += j.bids[-1]
        else:
            j.since = self.block
        self.money[actor] -= amount
        j.phase, j.tags, j.buyer, j.tau_bps = Phase.AUCTION, tags, actor, value
        j.bids.append(amount)
        j.pot["escrow"] = amount
        return Reason.OK

    def close_auction(self, j, actor, target, amount, tags, value, payload):
        if self.block < j.since + self.rules["auction_window"]:
            return Reason.TOO_EARLY
        best = j.bids[-1]
        second = j.bids[-2] if len(j.bids) > 1 else 0
        second_price = max(1, self.rules["reserve"], second)
        j.price = second_price if self.rules["second_price"] else best
        self.money[j.buyer] += best - j.price
        seller, fee = part(j.price, self.rules["seller_bps"]), part(j.price, self.rules["fee_bps"])
        j.pot.update(escrow=0, seller=seller, fee=fee, compute=j.price - seller - fee)
        j.phase, j.since = Phase.CLOSED, self.block
        return Reason.OK

    # escrow

    def match(self, j, actor, target, amount, tags, value, payload):
        deposit = self.rules["seller_deposit"]
        found = [
            s
            for s in self.sellers
            if s in self.here
            and s not in self.barred
            and j.tags & self.listing[s][0] == j.tags
            and self.reputation[s] >= self.rules["min_reputation_bps"]
            and max(0, self.stake[s] - self.exit[s][0]) >= deposit
        ]
        if len(found) < max(1, self.rules["min_sellers"]):
            return self._close(j, Phase.ABORTED, {}, max(1, j.pot["fee"]))
        for s in found:
            self.stake[s] -= deposit
            j.locked[s] = deposit
        j.phase, j.since = Phase.MATCHED, self.block
        return Reason.OK

    def _close(self, j, phase, pay, fee):
        for seller, amount in pay.items():
            self.money[seller] += amount
        self.money[self.arbiter] += fee
        j.to_sellers, j.to_treasury = sum(pay.values()), fee
        j.to_buyer = sum(j.pot[name] for name in ("seller", "compute", "fee"))
        j.to_buyer -= j.to_sellers + fee
        self.money[j.buyer] += j.to_buyer
        for seller, amount in j.locked.items():
            self.stake[seller] += amount
            j.locked[seller] = 0
        if j.disputer >= 0:
            self.money[j.disputer] += j.pot["bond"]
        j.pot = dict.fromkeys(j.pot, 0)
        j.phase, j.since = phase, self.block
        return Reason.OK

    def time_out(self, j, actor, target, amount, tags, value, payload):
        if self.block < j.since + self.rules["timeout"]:
            return Reason.TOO_EARLY
        kept = max(1, j.pot["fee"]) if j.phase == Phase.CLOSED else 0
        return self._close(j, Phase.REFUNDED, {}, kept)

    # settlement

    def settle_round(self, j, actor, target, amount, tags, value, payload):
        outcomes = dict(zip(self.nodes, payload))
        if any(o not in list(Outcome) for o in outcomes.values()):
            return Reason.BAD_VALUE
        lost = 0
        for node, outcome in outcomes.items():
            share = {
                Outcome.WRONG: self.rules["slash_wrong_bps"],
                Outcome.SILENT: self.rules["slash_silent_bps"],
            }.get(outcome, 0)
            if node in self.here:
                fine = part(self.stake[node], share)
                self.stake[node] -= fine
                lost += fine
        kept = self._burn(lost)
        j.pot["compute"] += kept
        j.joined += kept
        good = [
            node
            for node, outcome in outcomes.items()
            if outcome == Outcome.MATCHED and node in self.here and node not in self.barred
        ]
        if good:
            reward = min(self.rules["reward_cap"], (self._round_money(j) + kept) // len(good))
            for node in good:
                self.money[node] += reward
                j.pot["compute"] -= reward
                j.to_nodes += reward
        over = max(j.joined - BIGGEST, j.to_nodes - BIGGEST, 0)
        j.joined -= over
        j.to_nodes -= over
        j.round += 1
        j.phase = Phase.VERIFY if j.round >= self.rules["num_rounds"] else Phase.TRAINING
        j.since = self.block
        return Reason.OK

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
        if any(v not in list(Verdict) for v in verdicts.values()):
            return Reason.BAD_VALUE
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
        """Cumulative shares rounded down, so the parts add up."""
        weights = {s: 0 if s in j.out else w for s, w in j.weights.items()}
        total = sum(weights.values())
        pay, before, after = {}, 0, 0
        for seller, weight in weights.items():
            after += weight
            if total:
                pay[seller] = pot * after // total - pot * before // total
            before = after
        return pay

    def report_metric(self, j, actor, target, amount, tags, value, payload):
        weights = dict(zip(self.sellers, payload))
        if not 0 <= amount <= 10_000 or not 0 <= value <= 10_000:
            return Reason.BAD_VALUE
        if any(not 0 <= w <= 2**15 for w in weights.values()):
            return Reason.BAD_VALUE
        if j.phase == Phase.TRAINING and amount < j.tau_bps:
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
        pay, way = {}, j.metric_bps - j.base_bps
        if self.rules["partial_payment"] and way > 0:
            pay = self._split(j, j.pot["seller"] * way // (j.tau_bps - j.base_bps))
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
        lost, workers = 0, []
        for node in self.nodes:
            if node not in self.here:
                continue
            share = 0
            if amount != Ruling.REJECTED and (found[node] == Finding.GUILTY or node == j.accused):
                share = self.rules["slash_wrong_bps"]
                self.barred.add(node)
            elif found[node] == Finding.WRONG:
                share = self.rules["slash_wrong_bps"]
            elif found[node] == Finding.SILENT:
                share = self.rules["slash_silent_bps"]
            elif found[node] == Finding.MATCHED and node not in self.barred:
                workers.append(node)
            fine = part(self.stake[node], share)
            self.stake[node] -= fine
            lost += fine
        if amount != Ruling.REJECTED and j.accused in j.locked:
            lost += self._fine_seller(j, j.accused)
        pot = self._burn(lost)
        if amount == Ruling.REJECTED:
            pot += j.pot["bond"]
        if workers:
            each = min(self.rules["reward_cap"], min(pot, self._round_money(j)) // len(workers))
            for node in workers:
                self.money[node] += each
                pot -= each
        if amount == Ruling.REJECTED:
            self.burned += pot
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
            "jobs.best_bid": [j.bids[-1] if j.bids else 0 for j in jobs],
            "jobs.second_bid": [j.bids[-2] if len(j.bids) > 1 else 0 for j in jobs],
            "jobs.price": [j.price for j in jobs],
            "jobs.escrow": [j.pot["escrow"] for j in jobs],
            "jobs.seller_pool": [j.pot["seller"] for j in jobs],
            "jobs.compute_pool": [j.pot["compute"] for j in jobs],
            "jobs.fee_pool": [j.pot["fee"] for j in jobs],
            "jobs.bond": [j.pot["bond"] for j in jobs],
            "jobs.locked": [[j.locked.get(s, 0) for s in self.sellers] for j in jobs],
            "jobs.matched": seller_of,
            "jobs.excluded": [[s in j.out for s in self.sellers] for j in jobs],
            "jobs.weights": [[j.weights.get(s, 0) for s in self.sellers] for j in jobs],
            "jobs.round": [j.round for j in jobs],
            "jobs.disputer": [j.disputer for j in jobs],
            "jobs.accused": [j.accused for j in jobs],
            "jobs.disputed_round": [j.disputed_round for j in jobs],
            "jobs.compensation": [j.joined for j in jobs],
            "jobs.compute_paid": [j.to_nodes for j in jobs],
            "jobs.seller_paid": [j.to_sellers for j in jobs],
            "jobs.fee_paid": [j.to_treasury for j in jobs],
            "jobs.refunded": [j.to_buyer for j in jobs],
        }
