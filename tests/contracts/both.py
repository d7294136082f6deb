"""Both machines side by side: every action is done by both, and they must agree in everything."""

import functools

import jax
import numpy as np

from contracts.market import UNIT, Market, state
from d2m_jax import ledger as L
from tests.contracts.machines import artifact, by_name, disagreement
from tests.ledger.model import mix
from tests.ledger.traces import LAYOUT, genesis

ARBITER = LAYOUT.treasury
BUYER, RIVAL, THIRD = 0, 1, 2
SELLERS = [LAYOUT.seller(i) for i in range(LAYOUT.num_sellers)]
NODES = [LAYOUT.node(i) for i in range(LAYOUT.num_nodes)]
OK = L.Reason.OK
CONTENT = (9, 99)  # of a buyer's metric, and its salt
METRIC = mix(*CONTENT)
USUAL = {  # fields of an action, where a test says nothing else
    "REGISTER_SELLER": {"extra": (0, 10_000)},  # works for any pool and any threshold
    "BID": {"extra": (8, METRIC), "payload": CONTENT},
    "OPEN_METRIC": {"value": CONTENT[0], "extra": CONTENT[1:]},
}

apply = jax.jit(L.apply)


@functools.cache
def shared_market(compiled=None):
    """One deployed contract that `Both` starts over with."""
    nothing = [0] * LAYOUT.num_accounts
    return Market(compiled or artifact(), LAYOUT, L.DEFAULT_RULES, nothing)


RULES = {
    **L.DEFAULT_RULES,
    **{"auction_window": 3, "challenge_window": 3, "timeout": 10, "withdrawal_delay": 10},
    **{"reserve": 10, "num_rounds": 2, "min_sellers": 1, "seller_deposit": 100, "node_stake": 100},
    **{
        "work_bps": 0,
        "sealed": 0,
        "second_price": 0,
        "reveal_window": 4,
    },  # open bids, where the test is no other
}


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
        self.ledger = genesis(np.asarray(funds, np.int32))
        self.agree()

    def do(self, action):
        """An action given as a dictionary; both receipts must be the same, and the states."""
        from_evm = self.market.act(action)
        typed = L.make_action(
            LAYOUT, action["kind"], **{k: action[k] for k in action.keys() - {"kind"}}
        )
        after, reason = apply(self.ledger, self.rules, typed)
        from_jax = L.Reason(int(reason))
        assert from_evm == from_jax, f"{from_evm.name} on the EVM, {from_jax.name} in JAX: {action}"
        L.assert_valid(after, self.ledger)
        self.ledger = after
        self.agree()
        return from_jax

    def agree(self):
        """Whole state, supply and ether."""
        words = state(self.market.words(), LAYOUT)
        differs = disagreement(words, by_name(jax.device_get(self.ledger)))
        assert differs is None, differs
        ether = self.market.evm.state.get_balance(self.market.address)
        assert ether == int(self.ledger.supply) * UNIT

    def __call__(self, kind, actor=BUYER, expect=OK, **fields):
        """An action by name of its kind; fails unless the receipt is the expected one."""
        blank = dict.fromkeys(("job", "target", "amount", "tags", "value"), 0)
        fields = {**USUAL.get(kind, {}), **fields}
        payload, extra = list(fields.pop("payload", ())), list(fields.pop("extra", ()))
        payload += [0] * (LAYOUT.payload_size - len(payload))
        vectors = {"payload": payload, "extra": (extra + [0, 0, 0])[:3]}
        action = {**blank, **fields, **vectors, "actor": actor, "kind": int(L.Kind[kind])}
        reason = self.do(action)
        assert reason == expect, f"{kind}: {reason.name}, not {L.Reason(expect).name}"
        return self

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
    def balances(self):
        return np.asarray(self.ledger.balances).tolist()

    @property
    def stakes(self):
        return np.asarray(self.ledger.stakes).tolist()

    @property
    def phase(self):
        return L.Phase(int(self.ledger.jobs.phase[0]))

    def row(self, name, job=0):
        return np.asarray(getattr(self.ledger.jobs, name)[job]).tolist()


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


def challenged(weights=(3, 1, 0), **options):
    """Both rounds agreed on by all nodes, the metric above tau."""
    both = matched(**options)
    for _ in range(both.terms["num_rounds"]):
        both("SETTLE_ROUND", ARBITER, payload=[1, 1, 1, 1])
    return both("REPORT_METRIC", ARBITER, amount=6_000, payload=weights)
