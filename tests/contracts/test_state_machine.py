"""The generator of the random traces as a hypothesis state machine: a disagreement shrinks.

Hypothesis makes a seed per action, which `tests/ledger/traces.py` turns into what somebody might do
now, as one seed does for a whole trace. Contracts and slow model play, and in the search for
disagreements the functional chain with them.
"""

import functools

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from contracts.reading import comparable
from d2m_jax import ledger as L
from d2m_jax.ledger import Kind
from tests.contracts.machines import (
    as_dict,
    begin,
    by_name,
    disagreement,
    new_chain,
    next_row,
    without_blocks,
)
from tests.contracts.mutants import HASTY, mutant
from tests.ledger.traces import LAYOUT, genesis, laws_of, seeded_draw

pytestmark = pytest.mark.slow

SEEDS = st.integers(0, 9_999)

apply = jax.jit(L.apply)


@functools.cache
def shared_chain():
    """Contracts that are started over."""
    return new_chain()


class Machines(RuleBasedStateMachine):
    """One rule: the next action of the generator, done by all."""

    def chain(self):
        return shared_chain()

    @initialize(seed=SEEDS)
    def begin(self, seed):
        self.trace = type(self).latest = []
        self.evm = self.chain()
        _, self.model, self.funds = begin(self.evm, seed)

    @rule(seed=SEEDS)
    def act(self, seed):
        row = next_row(seeded_draw(seed), self.model, self.evm)
        hypothesis.note(f"{len(self.trace) + 1}: {as_dict(row)}")
        self.trace.append(row)
        self.compare(row, self.evm.act(as_dict(row)), self.evm.state())

    def compare(self, row, receipt, words):
        assert receipt == self.model.act(*row)
        expected = comparable(without_blocks(self.model.everything()))
        differs = disagreement(words, expected)
        assert differs is None, differs


class AllThree(Machines):
    """The functional chain too, which is slower step by step."""

    @initialize(seed=SEEDS)
    def begin(self, seed):
        super().begin(seed)
        self.laws = jax.tree.map(lambda x: x[0], laws_of([self.model]))
        self.state = genesis(np.asarray(self.funds, np.int32))

    def compare(self, row, receipt, words):
        super().compare(row, receipt, words)
        fields = {k: v for k, v in as_dict(row).items() if k != "kind"}
        after, reason = apply(self.state, self.laws, L.make_action(LAYOUT, row[0], **fields))
        assert reason == receipt
        L.assert_valid(after.ledger, self.state.ledger)
        differs = disagreement(words, by_name(jax.device_get(after)))
        assert differs is None, differs
        self.state = after


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
    run_state_machine_as_test(AllThree, settings=settings(15, 25, print_blob=True))


@pytest.mark.long
def test_a_disagreement_shrinks_to_a_few_actions():
    """The contract closes auctions at once: a bid, and who closes it, are what it takes."""
    broken = new_chain(mutant(HASTY))

    class Broken(Machines):
        def chain(self):
            return broken

    phases = (hypothesis.Phase.generate, hypothesis.Phase.shrink)
    options = settings(100, 20, derandomize=True, phases=phases)  # it must find it, so no luck
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Broken, settings=options)
    kinds = [row[0] for row in Broken.latest]
    assert {Kind.BID, Kind.SEAL} & set(kinds) and Kind.CLOSE_AUCTION in kinds
    assert len(kinds) <= 6  # of up to 20
