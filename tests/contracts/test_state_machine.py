"""Both machines as one hypothesis state machine: a disagreement shrinks to a few actions."""

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from contracts.market import Market
from d2m_jax import ledger as L
from d2m_jax.ledger import Kind, Phase
from tests.contracts.both import ARBITER, NODES, SELLERS, Both, shared_market
from tests.contracts.machines import legal_world
from tests.contracts.test_mutations import FORGETFUL, mutants
from tests.ledger.traces import LAYOUT, seeded_draw

INT32 = st.integers(-(2**31), 2**31 - 1)
SMALL = st.integers(-1, 5)
JOB, BUYER = st.integers(0, 1), st.integers(0, 2)
WORKER = st.sampled_from(SELLERS + NODES)
ANYTHING = {
    "kind": st.integers(-1, len(Kind)),
    "actor": st.integers(-1, LAYOUT.num_accounts),
    "job": st.integers(-1, LAYOUT.num_jobs),
    **{name: SMALL | INT32 for name in ("target", "amount", "tags", "value")},
    "payload": st.lists(SMALL | INT32, min_size=4, max_size=4),
}


def four(low, high):
    return st.lists(st.integers(low, high), min_size=4, max_size=4)


class Twins(RuleBasedStateMachine):
    """Each rule is one action whose meaning does not hang on the others, so any may be left out."""

    def market(self):
        return shared_market()

    @initialize(seed=st.none() | st.integers(0, 999), registered=st.sets(WORKER))
    def begin(self, seed, registered):
        """The plain terms of `both.py`, or a random world; some have registered."""
        self.trace = type(self).latest = []
        if seed is None:
            self.both = Both(market=self.market())
        else:
            model, funds = legal_world(seeded_draw(seed))
            self.both = Both(funds, market=self.market(), **model.rules)
        for who in sorted(registered):
            self.register(who)

    def act(self, kind, actor=0, **fields):
        blank = dict.fromkeys(("job", "target", "amount", "tags", "value"), 0)
        action = {**blank, "payload": [0] * 4, **fields, "kind": int(kind), "actor": actor}
        self.trace.append(action)
        hypothesis.note(f"{len(self.trace)}: {kind!r} by {actor} {fields}")
        return self.both.do(action)

    def least_bid(self, job):
        best = self.both.row("best_bid", job)
        step = max(1, best * self.both.terms["min_increment_bps"] // 10_000)
        return best + step if best else self.both.terms["reserve"]

    def register(self, who):
        is_seller = who in SELLERS
        least = self.both.terms["seller_deposit" if is_seller else "node_stake"]
        kind = Kind.REGISTER_SELLER if is_seller else Kind.REGISTER_NODE
        self.act(kind, who, amount=least, tags=3, value=1)

    @rule(who=WORKER)
    def join(self, who):
        self.register(who)

    @rule(job=JOB, steps=st.integers(1, 10))
    def progress(self, job, steps):
        for _ in range(steps):
            self.next_phase(job)

    def next_phase(self, job):
        """What takes the job one phase further."""
        terms = self.both.terms
        phase = Phase(self.both.row("phase", job))
        if phase == Phase.IDLE:
            amount, tags = self.least_bid(job), 1 + job
            self.act(Kind.BID, job, job=job, tags=tags, amount=amount, value=5_000)
        elif phase == Phase.AUCTION:
            self.act(Kind.WAIT, amount=terms["auction_window"])
            self.act(Kind.CLOSE_AUCTION, job=job)
        elif phase == Phase.CLOSED:
            self.act(Kind.MATCH, job=job)
        elif phase in (Phase.MATCHED, Phase.TRAINING):
            self.act(Kind.SETTLE_ROUND, ARBITER, job=job, payload=[1] * 4)
        elif phase == Phase.VERIFY:
            self.act(Kind.REPORT_METRIC, ARBITER, job=job, amount=6_000, payload=[1] * 4)
        elif phase == Phase.CHALLENGE:
            self.act(Kind.WAIT, amount=terms["challenge_window"])
            self.act(Kind.SETTLE, job=job)
        elif phase == Phase.DISPUTED:
            self.act(Kind.RESOLVE_DISPUTE, ARBITER, job=job)
        else:
            self.act(Kind.RESET_JOB, job=job)

    @rule(blocks=st.integers(0, 12))
    def wait(self, blocks):
        self.act(Kind.WAIT, amount=blocks)

    @rule(job=JOB, who=BUYER, more=st.integers(-1, 20), tau=st.integers(0, 10_000))
    def bid(self, job, who, more, tau):
        amount = min(self.least_bid(job) + more, 2**31 - 1)
        self.act(Kind.BID, who, job=job, tags=1 + job, amount=amount, value=tau)

    @rule(job=JOB, outcomes=four(0, 3))
    def settle_round(self, job, outcomes):
        self.act(Kind.SETTLE_ROUND, ARBITER, job=job, payload=outcomes)

    @rule(job=JOB, verdicts=four(0, 2))
    def rate(self, job, verdicts):
        self.act(Kind.RATE_SELLERS, ARBITER, job=job, payload=verdicts)

    @rule(job=JOB, metric=st.integers(0, 10_000), base=st.integers(0, 9_000), weights=four(0, 9))
    def report(self, job, metric, base, weights):
        self.act(Kind.REPORT_METRIC, ARBITER, job=job, amount=metric, value=base, payload=weights)

    @rule(job=JOB, other=WORKER)
    def slash(self, job, other):
        self.act(Kind.SLASH_SELLER, ARBITER, job=job, target=other)

    @rule(job=JOB, who=BUYER | WORKER, other=WORKER, disputed_round=st.integers(0, 2))
    def dispute(self, job, who, other, disputed_round):
        self.act(Kind.OPEN_DISPUTE, who, job=job, target=other, value=disputed_round)

    @rule(job=JOB, ruling=st.sampled_from(list(L.Ruling)), guilty=four(0, 1))
    def resolve(self, job, ruling, guilty):
        self.act(Kind.RESOLVE_DISPUTE, ARBITER, job=job, amount=int(ruling), payload=guilty)

    @rule(job=JOB, who=BUYER)
    def time_out(self, job, who):
        self.act(Kind.TIME_OUT, who, job=job)

    @rule(
        kind=st.sampled_from((Kind.TOP_UP, Kind.REQUEST_WITHDRAWAL, Kind.WITHDRAW)),
        who=WORKER,
        amount=st.integers(0, 300),
    )
    def stake(self, kind, who, amount):
        self.act(kind, who, amount=amount)

    @rule(other=WORKER, banned=st.integers(0, 1))
    def ban(self, other, banned):
        self.act(Kind.BAN, ARBITER, target=other, amount=banned)

    @rule(action=st.fixed_dictionaries(ANYTHING))
    def anything(self, action):
        self.act(**action)


def settings(examples, steps):
    return hypothesis.settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
    )


def test_hypothesis_finds_no_disagreement():
    run_state_machine_as_test(Twins, settings=settings(25, 25))


def test_a_disagreement_shrinks_to_a_few_actions():
    """The contract forgets deposits: a seller, a bid, a match and an end are what it takes."""
    compiled = mutants()[FORGETFUL]
    broken = Market(compiled, LAYOUT, L.DEFAULT_RULES, [0] * LAYOUT.num_accounts)

    class Broken(Twins):
        def market(self):
            return broken

    with pytest.raises(AssertionError, match="stakes"):
        run_state_machine_as_test(Broken, settings=settings(60, 20))
    kinds = [Kind(action["kind"]) for action in Broken.latest]
    assert {Kind.REGISTER_SELLER, Kind.BID, Kind.CLOSE_AUCTION, Kind.MATCH} <= set(kinds)
    assert len(kinds) <= 12, kinds
