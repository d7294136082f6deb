"""A market beside the real court: units that are really done, cases that are really played.

Every move is made in the contracts and in the functional machines at once: the money in the
contract of the market and in the functional ledger, the case in that of the court and in the pure
game. Only what the votes say is said by a puppet. The work is small: three sellers, two parameters,
a test set of four examples.
"""

import functools

from eth_utils import keccak

from contracts import market as m
from contracts import reading
from contracts.court import CourtContract, court_start
from contracts.market import COURT, MARKET, address_of, number_of, words_of
from contracts.votes import pack
from d2m_jax import ledger as L
from d2m_jax.court import game
from d2m_jax.court.plans import (
    BASE,
    HARM,
    METRIC,
    SELLERS,
    Sizes,
    job_work,
    run_unit,
    siblings,
)
from d2m_jax.court.plans import (
    words_of as words_in,
)
from d2m_jax.court.steps import ONE, Op, Witness, before
from tests.contracts.both import BUYER, LAYOUT, OK, RIVAL, RULES, THIRD, registered
from tests.contracts.court import court_artifact
from tests.contracts.puppet import PuppetMarket, number_in
from tests.ledger.model import mix

ROUNDS, EXAMPLES, MODEL = RULES["num_rounds"], 4, 8
SIZES = Sizes(LAYOUT.num_sellers, num_updates=3, num_parameters=2, num_examples=EXAMPLES)
JOB = job_work(SIZES, [1_000, -2_000], [ONE // 10, ONE // 20], trim=1)
UPDATES = ([10_000, 20_000, 12_000, -7_000, 100_000, 3_000], [900, 800, 700, 600, 500, 400])
TERMS = game.Terms(bond=10_000, fee=100, window=6, budget=8, judging=5)
CONTENT = (9, 99)  # of the buyer's metric, and its salt, as in `both.py`


def told_in_round(unit):
    """What the pool says in a round: the updates, and that all sellers are accepted."""
    said = {SIZES.updates + i: x for i, x in enumerate(UPDATES[unit])}
    return said | {SELLERS + i: L.Verdict.ACCEPTED for i in range(LAYOUT.num_sellers)}


def told_in_verification(right=3, weights=(3, 1, 0), base=2_500, harm=()):
    """What it says of the model: answers of which so many are right, weights, evidence of harm."""
    labels = [7] * EXAMPLES
    answers = [7 if i < right else 0 for i in range(EXAMPLES)]
    said = {SIZES.answers + i: x for i, x in enumerate([*answers, *labels])}
    pay = {SELLERS + i: w + HARM * (i in harm) for i, w in enumerate(weights)}
    return said | pay | {BASE: base}


class Unit:
    """A unit that somebody has done, right or wrong, and what it says.

    Args:
        index: of the unit.
        memory: with which it begins.
        told: what the pool says in it.
        job: of which it is one.
        lie: `at`, `number`: what is written in one step in place of what it says.
        says: changes of the words of the content, which the work does not bear out.
    """

    def __init__(self, index, memory, told, says=None, job=None, **lie):
        self.index, self.job = index, job or JOB
        self.run = run_unit(self.job, index, memory, told, **lie)
        self.verifies = index == len(self.job.programs) - 1
        words = words_in(self.run.memory, LAYOUT.num_sellers)
        for place, number in (says or {}).items():
            words[place] = number
        self.words = words

    @property
    def root(self):
        return self.run.tree.root

    @property
    def is_true(self):
        """Whether its work bears out what it says."""
        return self.words == words_in(self.run.memory, LAYOUT.num_sellers)

    @property
    def content(self):
        """Of the functional ledger: digests are the lowest lanes of the real ones."""
        sellers, harm = self.words[SELLERS:], [0] * LAYOUT.num_sellers
        root = number_in(self.root)
        if not self.verifies:
            return [self.words[METRIC], 0, root, 0, 0, *sellers, *harm]
        weights, harm = [x % HARM for x in sellers], [x // HARM for x in sellers]
        return [*self.words[:SELLERS], MODEL, mix(*CONTENT), root, *weights, *harm]

    @property
    def data(self):
        """Of the contract."""
        sellers, root = self.words[SELLERS:], number_of(self.root)
        if not self.verifies:
            return words_of(self.words[METRIC], root, *pack(sellers, 2))
        head = self.words[METRIC] | self.words[BASE] << 32
        asked = number_of(self.job.plan.digest), m.metric_of(mix(*CONTENT), CONTENT)
        weights, harm = [x % HARM for x in sellers], [x // HARM for x in sellers]
        return words_of(head, *asked, root, *pack(weights, 16), *pack(harm, 1))

    @property
    def number(self):
        """The functional digest of its content."""
        return mix(*self.content)

    @property
    def proofs(self):
        """What is shown with the content: siblings of its words, and of the last checkpoint."""
        tree = self.run.tree
        return siblings(self.run.memory, LAYOUT.num_sellers), tree.proof(len(tree.leaves) - 1)


@functools.cache
def fair_units():
    """All units of the job, done as they should be."""
    units, memory = [], JOB.start
    for index in range(ROUNDS + 1):
        told = told_in_round(index) if index < ROUNDS else told_in_verification()
        units.append(Unit(index, memory, told))
        memory = units[-1].run.memory.values
    return units


class TrialMarket(PuppetMarket):
    """A market whose votes are a puppet's, with the real court."""

    def __init__(self, rules, code=None):
        born = court_artifact().code + court_start(TERMS)
        super().__init__(LAYOUT, rules, [0] * LAYOUT.num_accounts, code, born)
        self.court = CourtContract.deployed(court_artifact(), TERMS, self.evm, COURT)
        self.game = game.Court(TERMS)
        self.train(JOB)
        self.first = {}  # by slot and unit: what was accepted before the court found another
        self.units = {}  # by the functional digest of the content
        self.shown = {}  # what `open_case` and `book_case` show instead, by name of the argument

    def start_over(self, rules, funds):
        super().start_over(rules, funds)
        self.evm.state.delete_storage(COURT)
        self.evm.state.set_balance(COURT, 0)
        self.units, self.shown, self.first = {}, {}, {}
        self.game = game.Court(TERMS, block=self.block)
        self.train(JOB)

    def train(self, job):
        """The market was created for this work."""
        self.job = job
        self.start_for(job.plan.trained)

    def know(self, unit):
        """From now on the digest of its content stands for it."""
        self.units[unit.number] = unit
        return unit

    def digest_word(self, number):
        unit = self.units.get(int(number))
        return keccak(unit.data) if unit else super().digest_word(number)

    def number_in(self, digest):
        known = {keccak(unit.data): number for number, unit in self.units.items()}
        return known.get(digest, number_in(digest))

    def content_for(self, job, content):
        unit = self.units.get(mix(*map(int, content)))
        return unit.data if unit else super().content_for(job, content)

    def argument(self, name, field, action):
        if field == "model" and int(action["extra"][0]) == MODEL:
            return number_of(self.job.plan.digest)
        return super().argument(name, field, action)

    def booked(self, job, unit):
        """The work of a unit that has been booked, or None."""
        slot = self.artifact.slots["results"] + 2**16 * job + max(unit, 0)
        digest = self.evm.state.get_storage(MARKET, slot).to_bytes(32, "big")
        return self.units.get(self.number_in(digest))

    def begins(self, job, unit):
        """The unit with whose last checkpoint another one begins, or None."""
        rounds = reading.lanes_of(self.job_word(job), reading.JOB)["round"]
        for index in reversed(range(min(unit, rounds))):
            found = self.booked(job, index)
            if found:
                return self.first.get((job, index), found)
        return None

    def case_of(self, job):
        """The name of the latest case of a slot."""
        return self.evm.state.get_storage(MARKET, self.artifact.slots["cases"] + job)

    def opening(self, job, unit):
        plan, index = self.job.plan, min(max(unit, 0), len(self.job.programs) - 1)
        begins, accepted = self.begins(job, index), self.booked(job, index)
        said = {
            "plan": [number_of(plan.start), number_of(plan.programs), *plan[2:]],
            "program": number_of(self.job.program(index)),
            "branch": list(map(number_of, self.job.branch(index))),
            "accepted": accepted.data if accepted else b"",
            "before": begins.data if begins else b"",
            "start": number_of(begins.run.tree.leaves[-1]) if begins else 0,
            "last": list(map(number_of, begins.proofs[1])) if begins else [0] * plan.depth,
        } | self.shown
        return [*said.pop("plan"), *said.values()]

    def send(self, action):
        """After a ruling nobody has voted for what is booked."""
        unit = reading.lanes_of(self.job_word(action["job"]), reading.JOB)["disputed_unit"]
        was = self.booked(action["job"], unit)
        sent = super().send(action)
        is_booked = action["kind"] == L.Kind.BOOK_CASE and sent.ok
        slot = self.artifact.slots["papers"] + 2**16 * action["job"] + max(unit, 0)
        if is_booked and not self.evm.state.get_storage(MARKET, slot):
            self.first.setdefault((action["job"], unit), was)
            self.papers[action["job"], unit] = []
        return sent

    def found(self, job, payload):
        unit = self.units.get(mix(*map(int, payload[: 2 * LAYOUT.num_sellers + 5])))
        proofs = [list(map(number_of, proof)) for proof in unit.proofs] if unit else [[], []]
        said = {"content": unit.data if unit else b"", "siblings": proofs[0], "last": proofs[1]}
        return list((said | self.shown).values())

    def ruling(self, case):
        """What was found, from the court's storage."""
        known = {unit.root: number for number, unit in self.units.items() if unit.is_true}
        known[bytes(32)] = 0  # no claim has won, or not yet
        return self.read_ruling(self.court.artifact.selectors["ruling"], case, known)


def new_trial(market=None, **rules):
    """A market beside its court, all sellers and nodes registered."""
    return registered(market=market or shared_trial(), bisection=1, **rules)


@functools.cache
def shared_trial():
    return TrialMarket({**RULES, "bisection": 1})


def agreed(price=500, job=None, created_for=None, **rules):
    """The job is matched, for the model that is the digest of its plan; its metric is open."""
    both = new_trial(**rules)
    both.market.train(created_for or job or JOB)
    both.market.job = job or JOB
    both("BID", BUYER, tags=3, amount=price, value=5_000)
    return both("WAIT", amount=both.terms["auction_window"])("CLOSE_AUCTION")("OPEN_METRIC", BUYER)


def book(both, accepted, papers=None, **told):
    """Anybody books a unit: `papers` are what each node has found, None it has no seat."""
    market = both.market
    found = [accepted] * LAYOUT.num_nodes if papers is None else papers
    numbers = [market.know(x).number if x else x for x in found]
    market.know(accepted)
    return both.book(numbers, accepted.number, content=accepted.content, **told)


def dispute(both, unit, accused=None, by=RIVAL, **expect):
    """Somebody disputes a unit: its case is open at the court, the accused claim stands there."""
    both("OPEN_DISPUTE", by, value=unit, **expect)
    return None if expect else Case(both, unit, accused or both.market.booked(0, unit))


class Case:
    """A case, in the court's contract and in the pure game at once.

    Args:
        both: the market, in which the dispute has just been opened.
        unit: that is disputed.
        accused: the `Unit` that was accepted.
        job: slot.
    """

    def __init__(self, both, unit, accused, job=0):
        self.both, self.market, self.unit, self.job = both, both.market, unit, job
        plan, row = self.market.job.plan, both.row(job)
        begins = self.market.begins(job, unit)
        start = begins.run.tree.leaves[-1] if begins else plan.start
        label = keccak(words_of(job, row["serial"], unit))
        program = self.market.job.program(unit)
        opening = start, program, plan.depth, plan.size, label, accused.root
        opener = number_of(MARKET)
        self.name = game.case_for(*opening, opener)
        self.accused, self.digests, self.claims = accused, [], {accused.root: accused}
        self.sync()
        self.market.game, reason = game.open_for(self.market.game, opener, *opening)
        assert reason == OK and number_of(self.name) == self.market.case_of(job)
        self.agree()

    @property
    def court(self):
        return self.market.game

    def sync(self):
        self.market.game = self.market.game._replace(block=self.market.block)

    def wait(self, blocks):
        self.both("WAIT", amount=blocks)
        self.sync()

    def do(self, name, *args, actor=None, expect=OK):
        """A move in both; its receipt is the expected one."""
        self.sync()
        who = () if actor is None else (number_of(address_of(actor)),)
        contract = self.market.court
        if name in ("claim", "judge"):
            got = getattr(contract, name)(*who, *args)
        else:
            got = contract.call(who[0] if who else 1_000, name, *args)
        self.market.game, reason = getattr(game, name)(self.court, *who, *args)
        assert got == reason == expect, (name, got, reason, expect)
        self.agree()
        return self

    def agree(self):
        """The whole state of the court."""
        balances = {k: v for k, v in self.court.balances.items() if v}
        accounts = [number_of(address_of(i)) for i in range(-1, LAYOUT.num_accounts)]
        found = self.market.court.state(self.court.cases, accounts, self.court.commits)
        assert found == self.court._replace(balances=balances)

    def claim(self, actor, unit, expect=OK, waits=1):
        """Somebody commits to a claim, and makes it in a later block."""
        tree, salt = self.market.know(unit).run.tree, bytes(32)
        owner = game.address(number_of(address_of(actor)))
        self.do("commit", game.promise(self.name, tree.root, owner, salt))
        self.wait(waits)
        nodes, last = tree.children(tree.depth, 0), len(tree.leaves) - 1
        ends = tree.leaves[last], tree.proof(0), tree.proof(last), salt, TERMS.bond
        self.do("claim", self.name, *nodes, *ends, actor=actor, expect=expect)
        self.claims[tree.root] = unit
        return self

    def fight(self, number, actor, silent=()):
        """A duel is played to its last step; claims of the silent owners are not answered."""
        duel = self.court.duel(number)
        while duel.stage == game.PLAY:
            row = self.court.claims[duel.claims[duel.turn] - 1]
            if row.owner in [number_of(address_of(i)) if i else 0 for i in silent]:
                return self
            tree = self.claims[row.root].run.tree
            nodes = [*tree.children(duel.height, duel.place), bytes(32), bytes(32)]
            if duel.height > 1:
                at = 2 * duel.place + (nodes[0] == duel.left)
                nodes[2:] = tree.children(duel.height - 1, at)
            self.do("play", number, *nodes, actor=actor)
            duel = self.court.duel(number)
        return self

    def judge(self, number, actor, unit, **expect):
        """Somebody who has done the unit shows the step in question."""
        at, run = max(self.court.duel(number).place, 1) - 1, unit.run
        step, memory = run.work.steps[at], before(run.work, at, run.given)
        exact = step.op not in (Op.HALT, Op.POOL)
        witness = memory.witness(step) if exact else Witness([], [])
        proofs = run.tree.proof(at), step, run.work.program_tree.proof(at), witness
        return self.do("judge", number, run.tree.leaves[at], *proofs, actor=actor, **expect)

    def close(self, expect=OK):
        """The case is closed, in the functional ledger, too."""
        self.do("close", self.name, expect=expect)
        if expect == OK:
            self.both.both_close(self.job)
        return self

    def book(self, unit, expect=OK, actor=BUYER):
        """Anybody books what the court has found: a unit, or None, that nobody shows a content."""
        was = self.market.booked(self.job, self.unit)
        content = self.market.know(unit).content if unit else ()
        self.both("BOOK_CASE", actor, job=self.job, payload=content, expect=expect)
        return was


def wait_for_court(market):
    """A case that nobody argues: until it is closed and booked nothing else decides the unit."""
    both = agreed(market=market)
    for unit in fair_units():
        book(both, unit)
    case = dispute(both, 0)
    assert market.read("wanted", 0) == [0, 0, 0]  # nothing is voted on
    case.wait(max(RULES["timeout"], TERMS.window + 1))
    both("TIME_OUT", expect=L.Reason.TOO_EARLY)
    case.book(case.accused, expect=L.Reason.TOO_EARLY)
    case.close().book(case.accused)
    return both


def sleep_through(both):
    """A false claim that nobody answers: what is right falls, and nobody shows another content."""
    false = Unit(1, fair_units()[1].run.work.start, told_in_round(1), at=11, number=9)
    case = dispute(both, 1).claim(THIRD, false)
    case.wait(TERMS.budget + 1)
    case.do("time_out", 1, actor=THIRD).close()
    case.wait(RULES["content_window"])
    case.book(None)


def win(both, unit, truth, actor, by=RIVAL):
    """A wrong unit is disputed and falls: who knows the truth claims it, and shows the step."""
    case = dispute(both, unit, by=by).claim(actor, truth)
    case.fight(len(case.court.duels), actor).judge(len(case.court.duels), actor, truth)
    case.wait(TERMS.window + 1)
    case.close().book(truth)
    return case
