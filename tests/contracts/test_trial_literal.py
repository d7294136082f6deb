"""A real round of a market, captured, tried by the contracts, and the money settled by them."""

import numpy as np

from d2m_jax import ledger as L
from d2m_jax.audit.literal_court import literal_work
from d2m_jax.court.rounds import floats
from d2m_jax.court.steps import Op
from tests.audit.test_literal_court import CAPTURED, begin, programs
from tests.contracts.both import BUYER, NODES, RULES, SELLERS
from tests.contracts.trial import EXAMPLES, SIZES, Unit, agreed, book, told_in_verification, win

HONEST = NODES[3]


def test_one_honest_node_takes_a_real_round_from_a_majority_by_the_contracts_alone():
    """Logistic regression on digits: some thousand steps for the pool, 1,300 in whole numbers.

    What the sellers have delivered is on the ledger, the colluders move one parameter. One node
    claims the truth before the court, which finds the step in d messages; the round falls, the
    verification built on it stands, the sellers are paid by the guilty.
    """
    hparams, data, state = begin(**CAPTURED)
    real = literal_work(programs()[0])(state, hparams, data, len(SELLERS), EXAMPLES)
    job, sizes = real.job, real.sizes
    steps = [i for i, step in enumerate(job.programs[0]) if step.op == Op.AXPY]
    truth = Unit(0, job.start, real.told, job=job)
    lie = Unit(0, job.start, real.told, job=job, at=steps[400], number=99)
    both = agreed(job=job, num_rounds=1, price=100, node_stake=200, slash_wrong_bps=5_000)
    start = np.asarray(L.wealth(both.ledger))
    book(both, lie, [lie, lie, lie, truth])
    told = _moved(told_in_verification(), sizes)
    book(both, Unit(1, lie.run.memory.values, told, job=job))
    case = win(both, 0, truth, HONEST, by=HONEST)
    plan = job.plan
    assert plan.depth >= 12 and case.court.duel(1).place - 1 == steps[400]
    assert both.row("results")[0] == truth.number and both.row("spoilt")
    both("WAIT", amount=RULES["challenge_window"])("SETTLE")
    assert both.phase == L.Phase.REFUNDED
    gained = np.asarray(L.wealth(both.ledger)) - start
    assert gained[BUYER] > 0 and (gained[SELLERS] >= 0).all() and gained[SELLERS].sum() > 0
    assert gained[HONEST] > 100 and np.asarray(both.ledger.banned)[NODES[:3]].all()
    model = floats(truth.run.memory.values[sizes.model :][: sizes.num_parameters])
    assert np.abs(model - np.asarray(state.learning.theta)).max() > 1e-4  # it has learnt


def _moved(told, sizes):
    """What is said of the examples, where this memory keeps them."""
    behind = {at: x for at, x in told.items() if at >= SIZES.answers}
    rest = {at: x for at, x in told.items() if at < SIZES.answers}
    return rest | {at - SIZES.answers + sizes.answers: x for at, x in behind.items()}
