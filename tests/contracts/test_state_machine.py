"""The generator of the random traces as a hypothesis state machine: a disagreement shrinks.

Hypothesis makes a seed per action, which `tests/ledger/traces.py` turns into what somebody might do
now, as one seed does for a whole trace of the 2,000. The contract and the slow model play, and in
the search for disagreements the functional ledger with them.
"""

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from contracts.market import Market, state
from d2m_jax import ledger as L
from d2m_jax.ledger import Kind
from tests.contracts.both import apply, shared_market
from tests.contracts.machines import as_dict, by_name, comparable, disagreement, legal_world
from tests.contracts.test_conformance import HASTY, mutant
from tests.ledger.traces import LAYOUT, genesis, random_action, seeded_draw

SEEDS = st.integers(0, 9_999)


class Machines(RuleBasedStateMachine):
    """One rule: the next action of the generator, done by all."""

    def market(self):
        return shared_market()

    @initialize(seed=SEEDS)
    def begin(self, seed):
        self.trace = type(self).latest = []
        self.model, self.funds = legal_world(seeded_draw(seed))
        self.contract = self.market()
        self.contract.start_over(self.model.rules, self.funds)

    @rule(seed=SEEDS)
    def act(self, seed):
        row = random_action(seeded_draw(seed), self.model)
        hypothesis.note(f"{len(self.trace) + 1}: {as_dict(row)}")
        self.trace.append(row)
        self.compare(row, self.contract.act(as_dict(row)), state(self.contract.words(), LAYOUT))

    def compare(self, row, receipt, words):
        assert receipt == self.model.act(*row)
        expected = {name: np.asarray(x) for name, x in self.model.everything().items()}
        expected = comparable(expected)
        differs = disagreement(
            {name: words[name] for name in expected.keys() & words.keys()}, expected
        )
        assert differs is None, differs


class AllThree(Machines):
    """The functional ledger too, which is slower step by step."""

    @initialize(seed=SEEDS)
    def begin(self, seed):
        super().begin(seed)
        self.rules = L.make_rules(**self.model.rules)
        self.ledger = genesis(np.asarray(self.funds, np.int32))

    def compare(self, row, receipt, words):
        super().compare(row, receipt, words)
        fields = {k: v for k, v in as_dict(row).items() if k != "kind"}
        action = L.make_action(LAYOUT, row[0], **fields)
        after, reason = apply(self.ledger, self.rules, action)
        assert reason == receipt
        L.assert_valid(after, self.ledger)
        differs = disagreement(words, by_name(jax.device_get(after)))
        assert differs is None, differs
        self.ledger = after


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
    run_state_machine_as_test(AllThree, settings=settings(25, 25, print_blob=True))


def test_a_disagreement_shrinks_to_a_few_actions():
    """The contract closes auctions at once: a bid, and who closes it, are what it takes."""
    compiled = mutant(HASTY)
    broken = Market(compiled, LAYOUT, L.DEFAULT_RULES, [0] * LAYOUT.num_accounts)

    class Broken(Machines):
        def market(self):
            return broken

    phases = (hypothesis.Phase.generate, hypothesis.Phase.shrink)
    options = settings(200, 20, derandomize=True, phases=phases)  # it must find it, so no luck
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Broken, settings=options)
    kinds = [row[0] for row in Broken.latest]
    assert {Kind.BID, Kind.SEAL} & set(kinds) and Kind.CLOSE_AUCTION in kinds
    assert len(kinds) <= 5  # of up to 20
