"""The generator of the random traces as a hypothesis state machine: a disagreement shrinks.

Hypothesis makes the numbers that `tests/ledger/traces.py` turns into actions, as a seed does for
the 2,000 traces. Three machines play: the contract, the functional ledger and the slow model.
"""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from contracts.market import Market
from d2m_jax import ledger as L
from d2m_jax.ledger import Kind
from tests.contracts.both import Both, shared_market
from tests.contracts.machines import as_dict, legal_world
from tests.contracts.test_mutations import FORGETFUL, mutants
from tests.ledger.traces import LAYOUT, random_action


def drawn_from(data):
    """`draw(low, high)` of the generator, decided and shrunk by hypothesis."""
    return lambda low, high: data.draw(st.integers(low, high))


class Machines(RuleBasedStateMachine):
    """One rule: the next action of the generator, done by all three machines."""

    def market(self):
        return shared_market()

    @initialize(data=st.data())
    def begin(self, data):
        self.trace = type(self).latest = []
        self.model, funds = legal_world(drawn_from(data))
        self.both = Both(funds, market=self.market(), **self.model.rules)

    @rule(data=st.data())
    def act(self, data):
        row = random_action(drawn_from(data), self.model)
        hypothesis.note(f"{len(self.trace) + 1}: {as_dict(row)}")
        self.trace.append(row)
        receipt = self.both.do(as_dict(row))  # the contract and the functional ledger
        assert receipt == self.model.act(*row)
        ledger = self.both.ledger
        money = [ledger.balances, ledger.stakes, ledger.burned, ledger.block, ledger.jobs.phase]
        assert np.concatenate([np.ravel(x) for x in money]).tolist() == self.model.money_now()


def settings(examples, steps, **options):
    return hypothesis.settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        **options,
    )


def test_hypothesis_finds_no_disagreement():
    """Other actions in every run; what fails is printed with the code that repeats it."""
    run_state_machine_as_test(Machines, settings=settings(25, 25, print_blob=True))


def test_a_disagreement_shrinks_to_a_few_actions():
    """The contract forgets deposits: a seller, a bid, a match and an end are what it takes."""
    compiled = mutants()[FORGETFUL]
    broken = Market(compiled, LAYOUT, L.DEFAULT_RULES, [0] * LAYOUT.num_accounts)

    class Broken(Machines):
        def market(self):
            return broken

    phases = (hypothesis.Phase.generate, hypothesis.Phase.shrink)
    options = settings(200, 30, derandomize=True, phases=phases)  # must find it, so no luck
    with pytest.raises(AssertionError, match="stakes"):
        run_state_machine_as_test(Broken, settings=options)
    kinds = [Kind(row[0]) for row in Broken.latest]
    assert {Kind.REGISTER_SELLER, Kind.BID, Kind.CLOSE_AUCTION, Kind.MATCH} <= set(kinds)
    assert len(kinds) <= 10, kinds
