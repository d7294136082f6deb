"""Contract and functional ledger side by side: both do every action and must agree in everything.

The votes are a puppet's on the EVM, and decisions made by hand in JAX.
"""

import functools

import jax
import numpy as np

from contracts.market import UNIT
from contracts.reading import comparable
from d2m_jax import ledger as L
from d2m_jax.ledger.actions import make_action
from d2m_jax.ledger.machine import LEDGER_MOVES
from tests.contracts.machines import NOT_STORED, disagreement
from tests.contracts.puppet import PuppetMarket
from tests.ledger import worlds
from tests.ledger.model import mix
from tests.ledger.traces import LAYOUT, genesis

BUYER, RIVAL, THIRD = 0, 1, 2
TREASURY = LAYOUT.treasury
SELLERS = [LAYOUT.seller(i) for i in range(LAYOUT.num_sellers)]
NODES = [LAYOUT.node(i) for i in range(LAYOUT.num_nodes)]
OK = L.Reason.OK
GOOD, BAD, OTHER = 11, 22, 33  # digests that nodes reveal
CONTENT = (9, 99)  # of a buyer's metric, and its salt
METRIC = mix(*CONTENT)
USUAL = {  # fields of an action, where a test says nothing else
    "REGISTER_SELLER": {"extra": (0, 10_000)},  # works for any pool and any threshold
    "BID": {"extra": (8, METRIC), "payload": CONTENT},
    "OPEN_METRIC": {"value": CONTENT[0], "extra": CONTENT[1:]},
}
RULES = {
    **L.DEFAULT_RULES,
    **{"auction_window": 3, "challenge_window": 3, "timeout": 10, "withdrawal_delay": 10},
    **{"reserve": 10, "num_rounds": 2, "min_sellers": 1, "seller_deposit": 100, "node_stake": 100},
    # open bids, where the test is no other
    **{"work_bps": 0, "sealed": 0, "second_price": 0, "reveal_window": 4, "content_window": 5},
}
BOOKINGS = {
    L.Phase.MATCHED: "BOOK_ROUND",
    L.Phase.TRAINING: "BOOK_ROUND",
    L.Phase.VERIFY: "BOOK_VERIFICATION",
    L.Phase.DISPUTED: "BOOK_DISPUTE",
}


@functools.cache
def move_of(kind):
    """A compiled transition, by its kind."""
    transition, fields = LEDGER_MOVES[kind]
    return jax.jit(lambda ledger, rules, a, **more: transition(ledger, rules, **fields(a), **more))


@functools.cache
def shared_market():
    """One deployed contract that `Both` starts over with."""
    return PuppetMarket(LAYOUT, {**RULES}, [0] * LAYOUT.num_accounts)


class Both:
    """A contract and a functional ledger from the same start.

    Args:
        funds: units of each account, or of every account.
        market: a contract to start over with.
        rules: changes of `RULES`.
    """

    def __init__(self, funds=1_000, market=None, **rules):
        self.terms = {**RULES, **rules}
        funds = [funds] * LAYOUT.num_accounts if isinstance(funds, int) else funds
        self.market = market or shared_market()
        self.market.start_over(self.terms, funds)
        self.rules = L.make_rules(**self.terms)
        self.ledger = genesis(np.asarray(funds, np.int32)).ledger
        self.agree()

    def agree(self):
        """Whole state, supply and ether."""
        fields = worlds.by_name(jax.device_get(L.Chain(self.ledger, _NoVotes())))
        fields = {k: x for k, x in comparable(fields).items() if k not in NOT_STORED}
        differs = disagreement(self.market.state(), fields)
        assert differs is None, differs
        ether = self.market.evm.state.get_balance(self.market.address)
        assert ether == int(self.ledger.supply) * UNIT

    def move(self, kind, action, **more):
        """An action of the functional ledger, which must have the receipt of the contract."""
        typed = make_action(LAYOUT, **action)
        after, reason = move_of(kind)(self.ledger, self.rules, typed, **more)
        from_jax = L.Reason(int(reason))
        L.assert_valid(after, self.ledger)
        self.ledger = after
        return from_jax

    def __call__(self, kind, actor=BUYER, expect=OK, **fields):
        """An action by name of its kind; fails unless the receipt is the expected one."""
        blank = dict.fromkeys(("job", "target", "amount", "tags", "value"), 0)
        fields = {**USUAL.get(kind, {}), **fields}
        payload, extra = list(fields.pop("payload", ())), list(fields.pop("extra", ()))
        payload += [0] * (LAYOUT.payload_size - len(payload))
        vectors = {"payload": payload, "extra": (extra + [0, 0, 0])[:3]}
        action = {**blank, **fields, **vectors, "actor": actor, "kind": int(L.Kind[kind])}
        from_evm = self.market.act(action)
        from_jax = self.move(L.Kind[kind], action)
        return self.done(kind, from_evm, from_jax, expect)

    def done(self, kind, from_evm, from_jax, expect):
        """Both receipts are the expected one, and both states are equal."""
        assert from_evm == from_jax, f"{kind}: {from_evm.name} on the EVM, {from_jax.name} in JAX"
        self.agree()
        assert from_evm == expect, f"{kind}: {from_evm.name}, not {L.Reason(expect).name}"
        return self

    def book(self, papers=None, accepted=GOOD, *, job=0, actor=BUYER, expect=OK, kind=None, **told):
        """Anybody books what the vote that the job waits for came to; see `worlds.decided`.

        Args:
            papers: [C] what each node reveals, 0 nothing, None it is not drawn; by default all
                GOOD.
            accepted: digest that wins, 0 none.
        """
        decision = worlds.decided(self, papers, accepted, job=job, **told)
        self.market.say(job, decision)
        kind = kind or BOOKINGS.get(self.phase_of(job), "BOOK_ROUND")
        from_evm = self.market.book(L.Kind[kind], actor, job)
        action = {"kind": int(L.Kind[kind]), "actor": actor, "job": job}
        from_jax = self.move(L.Kind[kind], action, decision=decision)
        return self.done(kind, from_evm, from_jax, expect)

    def both_close(self, job=0, actor=BUYER):
        """The functional ledger hears what the court's contract has found in a case."""
        found = self.market.ruling(self.market.case_of(job))
        assert found.block == int(self.ledger.block)
        stood = int(self.market.state()["jobs.stood"][job])
        action = {"kind": int(L.Kind.CLOSE_CASE), "actor": actor, "job": job}
        action |= {"value": found.digest, "target": found.finder}
        action["extra"] = [stood, int(found.is_proven), 0]
        assert self.move(L.Kind.CLOSE_CASE, action) == OK
        self.agree()

    def seal(self, actor, deposit, amount=None, *, job=0, tags=3, tau=5_000, salt=77, **expect):
        """Seals a bid of `amount` (the deposit, if not said) for the usual model and metric."""
        said = (deposit if amount is None else amount, tau, 8, METRIC, salt)
        payload = (*said[:2], *CONTENT)
        value = mix(job, actor, *said)
        fields = {"amount": deposit, "value": value, "extra": said[2:], "payload": payload}
        return self("SEAL", actor, job=job, tags=tags, **fields, **expect)

    def reveal(self, actor, amount, *, job=0, tau=5_000, salt=77, **expect):
        """Opens what `seal` has sealed."""
        said = {"amount": amount, "value": tau, "extra": (8, METRIC, salt), "payload": CONTENT}
        return self("REVEAL", actor, job=job, **said, **expect)

    @property
    def layout(self):
        return LAYOUT

    @property
    def balances(self):
        return np.asarray(self.ledger.balances).tolist()

    @property
    def stakes(self):
        return np.asarray(self.ledger.stakes).tolist()

    def phase_of(self, job):
        in_range = min(max(job, 0), LAYOUT.num_jobs - 1)
        return L.Phase(int(self.ledger.jobs.phase[in_range]))

    @property
    def phase(self):
        return self.phase_of(0)

    def row(self, of=0, job=0):
        """A field of a job, by name, or all fields of the slot with this number."""
        slot = job if isinstance(of, str) else of
        row = {k: np.asarray(x[slot]).tolist() for k, x in vars(self.ledger.jobs).items()}
        return row[of] if isinstance(of, str) else row


class _NoVotes:
    """Nothing beside the ledger."""


def registered(**options):
    """All sellers and nodes with 200 at stake."""
    both = Both(**options)
    for seller in SELLERS:
        both("REGISTER_SELLER", seller, tags=3, value=5, target=-7, amount=200)
    for node in NODES:
        both("REGISTER_NODE", node, amount=200)
    return both


def matched(price=500, tau=5_000, **options):
    """One bid by BUYER, closed and matched with all sellers; its metric is open."""
    both = registered(**options)
    both("BID", BUYER, tags=3, amount=price, value=tau)
    window = both.terms["auction_window"]
    return both("WAIT", amount=window)("CLOSE_AUCTION")("OPEN_METRIC", BUYER)


def challenged(weights=(3, 1, 0), metric=6_000, **options):
    """Both rounds and the verification agreed on by all nodes; the metric is above tau."""
    both = matched(**options)
    for _ in range(both.terms["num_rounds"]):
        both.book()
    return both.book(sellers=weights, metric=metric)


def fallen(**options):
    """A captured round and a captured verification fall; the job ends with a spoilt model.

    Nodes 0 to 2 outvote node 3; fresh votes, of whom is left, find what it had said.
    """
    both = matched(**options).book([BAD, BAD, BAD, GOOD], BAD).book([BAD, BAD, BAD, None], BAD)
    both.book([BAD, BAD, BAD, None], BAD, metric=6_000, sellers=[3, 1, 0], harm=[0, 0, 1])
    both("OPEN_DISPUTE", NODES[3], value=0).book([None, None, None, GOOD])
    both("OPEN_DISPUTE", RIVAL, value=2)
    both.book([None, None, None, GOOD], metric=4_000, sellers=[1, 1, 1])
    return both("WAIT", amount=both.terms["challenge_window"])("SETTLE")


def asked_anew(**options):
    """The first vote on a dispute finds nothing; another is asked for, and finds what was right."""
    both = matched(**options).book([BAD, BAD, BAD, GOOD], BAD).book([BAD, BAD, BAD, None], BAD)
    both.book([BAD, BAD, BAD, None], BAD, metric=6_000, sellers=[3, 1, 0])
    both("OPEN_DISPUTE", NODES[3], value=0).book([None] * len(NODES), 0)
    return both.book([None, None, None, GOOD])
