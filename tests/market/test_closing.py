"""How a job ends when the nodes lie about the metric, or lied about a round: votes by hand."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import as_arrays
from d2m_jax import ledger as books
from d2m_jax.cone import Consensus
from d2m_jax.ledger import Outcome, Phase, wealth
from d2m_jax.market.closing import close_job, settle_or_refund
from d2m_jax.market.decisions import as_decision
from d2m_jax.market.jobs import in_turn
from tests.worlds import digits, market, numbers

LAYOUT = market().layout
VOTERS, TAU = 5, 0.6
HIGH, LOW = 0.8, 0.3  # metrics that are true in these worlds


ROUND, VERIFICATION = 0, 1  # units of a job of one round
RULES = {"num_rounds": 1}


@functools.cache
def start(liars=0, **population):
    """A matched job of one round, in which so many nodes from number 10 on got a lie accepted."""
    hparams = as_arrays(numbers(tau=TAU, population=population))
    state = jax.jit(market().init)(jax.random.key(0), hparams, digits()[1])
    who = jnp.arange(LAYOUT.num_nodes) - 10
    paper = jnp.where((who >= 0) & (who < liars), 2, 0)
    spoken = paper > 0
    outcome = jnp.where(spoken, Outcome.MATCHED, Outcome.NOT_DRAWN).astype(jnp.int32)
    one = jnp.int32(1)
    seat = jnp.where(outcome != Outcome.NOT_DRAWN, 0, -1)
    vote = Consensus(jnp.int32(liars > 0), one, one, outcome, paper, one, jnp.float32(1), seat)
    content = jnp.zeros(2 * LAYOUT.num_sellers + 5, jnp.int32)
    ledger, receipt = books.book_round(
        state.ledger, books.make_rules(**{**hparams.rules, **RULES}), actor=0, job=0,
        decision=as_decision(state.ledger, 0, vote, content),
    )  # fmt: skip
    assert receipt == books.Reason.OK
    return state._replace(scores=jnp.ones(LAYOUT.num_sellers), ledger=ledger)


@jax.jit
def close(state, metric, claim, vigilance, false_dispute, withheld, first, second):
    """`close_job` where CONE accepts `first` as the metric and `second` in disputes."""
    conduct = {"vigilance": vigilance, "false_dispute": false_dispute, "false_metric": claim}
    conduct["withheld_metric"] = withheld
    hparams = as_arrays(numbers(tau=TAU, conduct=conduct))
    answers, asked = itertools.chain([first], itertools.repeat(second)), []
    voters = jnp.arange(LAYOUT.num_nodes) < VOTERS

    def vote(key, state, hparams):
        del key, state
        asked.append(hparams.cone)
        return voted(next(answers), voters)

    rules = books.make_rules(**{**hparams.rules, **RULES})
    key = jax.random.key(1)
    ledger, closing = close_job(key, state, hparams, rules, metric, vote=vote, job=0)
    ledger = settle_or_refund(ledger, rules, functools.partial(in_turn, 1))
    return (ledger, closing), asked[:2]


def voted(accepted, voters):
    """A vote in which those who sat were of one mind."""
    outcome = jnp.where(voters & (accepted >= 0), Outcome.MATCHED, Outcome.NOT_DRAWN)
    digests = jnp.where(voters, accepted + 1, 0)
    one, seat = jnp.int32(1), jnp.where(voters, 0, -1)
    outcome = outcome.astype(jnp.int32)
    return Consensus(accepted, one, one * VOTERS, outcome, digests, one, jnp.float32(1), seat)


def end(
    metric, first, second=0, *,
    claim=1.0, vigilance=1.0, false_dispute=0.0, withheld=0.0, state=None,
):  # fmt: skip
    """Runs it; checks what holds in every ending."""
    state = state or start()
    args = (np.float32(x) for x in (metric, claim, vigilance, false_dispute, withheld))
    (ledger, closing), asked = close(state, *args, np.int32(first), np.int32(second))
    one, two = asked  # the second set is larger, whichever of the numbers the schedule reads
    assert (two.base, two.size) == (one.base + VOTERS, one.size + VOTERS)
    assert float(two.q) == pytest.approx(float(one.q) + VOTERS / LAYOUT.num_nodes)
    facts = books.invariants(ledger)
    assert all(facts.values()), facts
    gained = np.asarray(wealth(ledger) - wealth(state.opening))
    guilty = np.flatnonzero(ledger.banned[LAYOUT.nodes]).tolist()
    return ledger, closing, gained, guilty


def bond_of(ledger):
    return int(ledger.jobs.price[0]) * books.DEFAULT_RULES["bond_bps"] // 10_000


def seller_pool(ledger):
    return int(ledger.jobs.price[0]) * books.DEFAULT_RULES["seller_bps"] // 10_000


@pytest.mark.parametrize(("metric", "phase"), [(HIGH, Phase.SETTLED), (LOW, Phase.REFUNDED)])
def test_a_true_metric_is_not_disputed(metric, phase):
    ledger, closing, gained, guilty = end(metric, first=0)
    assert int(ledger.jobs.phase[0]) == phase and not closing.disputed and guilty == []
    assert int(closing.reported_bps) == round(metric * 10_000)
    pool = seller_pool(ledger)  # below tau a fifth of it, for the work
    assert gained[LAYOUT.sellers].sum() == (pool if phase == Phase.SETTLED else pool // 5)


@pytest.mark.parametrize("metric", [HIGH, LOW])
@pytest.mark.parametrize("claim", [0.0, 0.59, 0.61, 1.0])
def test_a_false_metric_high_or_low_is_corrected_and_the_liars_pay(metric, claim):
    ledger, closing, gained, guilty = end(metric, first=1, claim=claim)
    honest, _, fair, _ = end(metric, first=0)
    assert closing.disputed and closing.was_true and closing.upheld and closing.corrected
    assert int(closing.reported_bps) == round(claim * 10_000)
    assert int(ledger.jobs.metric_bps[0]) == round(metric * 10_000)
    assert int(ledger.jobs.phase[0]) == int(honest.jobs.phase[0])
    assert guilty == list(range(VOTERS))
    # The sellers end as in an honest world; whoever disputed gets a prize as large as its bond.
    prize = np.zeros_like(fair)
    by = LAYOUT.seller(0) if claim < TAU else int(ledger.jobs.buyer[0])
    prize[by] = bond_of(ledger)
    sellers = LAYOUT.sellers
    assert (gained[sellers] == (fair + prize)[sellers]).all()
    # Each pledge is lost, half of it burned; the rest, and the rewards, the disputer's and buyer's.
    lost, rewards = VOTERS * 20_000, fair[LAYOUT.nodes].sum()
    assert gained[LAYOUT.nodes].sum() == -lost
    won = lost // 2 + rewards - prize[sellers].sum()
    assert gained[LAYOUT.buyers].sum() == fair[LAYOUT.buyers].sum() + won
    assert int(ledger.burned) == lost // 2


@pytest.mark.parametrize(("claim", "phase"), [(1.0, Phase.SETTLED), (0.0, Phase.REFUNDED)])
def test_a_lie_that_nobody_disputes_stands(claim, phase):
    ledger, closing, _, guilty = end(LOW if claim else HIGH, first=1, claim=claim, vigilance=0.0)
    assert int(ledger.jobs.phase[0]) == phase and guilty == [] and not closing.disputed
    assert int(ledger.jobs.metric_bps[0]) == claim * 10_000


def test_only_an_honest_seller_disputes_for_the_sellers():
    """The first of the sellers are Byzantine, friends of the liars; with them alone nobody does."""
    state = start()
    bad = jnp.arange(LAYOUT.num_sellers) < 3
    some = state._replace(roles=state.roles.replace(byzantine=bad))
    ledger, _, gained, _ = end(LOW, first=1, claim=0.1, state=some)
    work = seller_pool(ledger) // 5 // 8  # what the others get for theirs
    assert gained[LAYOUT.seller(3)] - work == bond_of(ledger) > 0
    assert gained[LAYOUT.seller(0)] == work
    alone = state._replace(roles=state.roles.replace(byzantine=jnp.ones_like(bad)))
    _, closing, gained, guilty = end(HIGH, first=1, claim=0.1, state=alone)
    assert not closing.disputed and guilty == [] and gained[LAYOUT.sellers].max() == work


UNIT = 700_000 // 4 // 2  # what the price holds for the round, and for the verification


@pytest.mark.parametrize("metric", [HIGH, LOW])
@pytest.mark.parametrize("liars", [1, 5, 12])
def test_nodes_that_spoilt_a_round_pay_although_the_metric_is_true(metric, liars):
    """Also when tau is missed because of them."""
    state = start(liars)
    ledger, closing, gained, guilty = end(metric, first=0, state=state)
    assert closing.upheld and closing.was_true and not closing.corrected
    assert guilty == list(range(10, 10 + liars)) and bool(ledger.jobs.spoilt[0])
    assert int(ledger.jobs.phase[0]) == Phase.REFUNDED
    assert (gained[LAYOUT.nodes][guilty] == -20_000).all()  # and what they had earned is gone
    # Both go to who executed again, as for a round at most, the voters of the verification as well;
    # to the disputer, at most the size of its bond; to the sellers; to the fire, half of what was
    # pledged at most, and to the buyer.
    left = liars * 20_000 + UNIT // liars * liars
    assert gained[LAYOUT.nodes][:VOTERS].tolist() == [2 * (UNIT // VOTERS)] * VOTERS
    left -= UNIT // VOTERS * VOTERS
    prize = min(left, bond_of(ledger))
    work = min(left - prize, seller_pool(ledger))
    assert int(ledger.jobs.seller_paid[0]) == work
    left -= prize + work
    burned = min(left, liars * 10_000)
    assert int(ledger.burned) == burned
    spent = UNIT // VOTERS * VOTERS + UNIT // liars * liars  # of the price
    buyer, first = int(ledger.jobs.buyer[0]), LAYOUT.seller(0)
    by = buyer if metric > TAU else first
    of_sellers = gained[LAYOUT.sellers].sum()
    assert of_sellers == work + (prize if by == first else 0)
    assert gained[buyer] == left - burned - spent + (prize if by == buyer else 0)


def test_every_wrong_result_of_a_job_is_disputed_in_turn():
    """A spoilt round and a false metric: all who lied pay, once, and the model stays spoilt."""
    both = end(HIGH, first=1, claim=0.0, state=start(4))
    ledger, closing, gained, guilty = both
    assert closing.upheld and not closing.corrected and int(closing.reported_bps) == 0
    assert guilty == [*range(VOTERS), *range(10, 14)]
    assert (gained[LAYOUT.nodes][guilty] == -20_000).all()
    assert ledger.jobs.results[0].tolist()[:2] == [1, 1]
    assert int(ledger.jobs.phase[0]) == Phase.REFUNDED
    once = end(HIGH, first=1, claim=0.0)[1]
    assert closing.messages == 2 * once.messages and closing.delay == 2 * once.delay


def test_a_second_set_that_lies_as_well_costs_the_disputer_its_bond():
    ledger, closing, gained, guilty = end(HIGH, first=1, second=1, claim=0.0)
    assert closing.disputed and not closing.upheld and guilty == []
    assert gained[LAYOUT.seller(0)] == -bond_of(ledger) + seller_pool(ledger) // 5 // 8
    assert int(ledger.jobs.phase[0]) == Phase.REFUNDED


def test_a_dispute_without_a_decision_times_out_and_returns_the_bond():
    ledger, closing, gained, guilty = end(HIGH, first=1, second=-1, claim=0.0)
    assert closing.disputed and not closing.upheld and guilty == []
    assert int(ledger.jobs.phase[0]) == Phase.REFUNDED and gained[LAYOUT.seller(0)] == 0


@pytest.mark.parametrize("metric", [HIGH, LOW])
def test_a_false_dispute_costs_its_bond(metric):
    ledger, closing, gained, _ = end(metric, first=0, false_dispute=1.0)
    _, _, fair, _ = end(metric, first=0)
    by = LAYOUT.seller(0) if metric < TAU else int(ledger.jobs.buyer[0])
    assert closing.disputed and not closing.was_true and not closing.upheld
    assert gained[by] == fair[by] - bond_of(ledger)
    # the five that executed again share the lost bond; what is left of it is burned
    paid = (gained - fair)[LAYOUT.nodes]
    assert paid.tolist() == [bond_of(ledger) // VOTERS] * VOTERS + [0] * (len(paid) - VOTERS)
    assert int(ledger.burned) == bond_of(ledger) % VOTERS
    assert int(ledger.jobs.phase[0]) == (Phase.SETTLED if metric > TAU else Phase.REFUNDED)


def test_without_a_decision_on_the_metric_the_job_times_out():
    ledger, closing, _, _ = end(HIGH, first=-1)
    assert int(closing.reported_bps) == -1 and not closing.disputed
    assert int(ledger.jobs.phase[0]) == Phase.REFUNDED


@pytest.mark.parametrize("first", [0, 1])
def test_a_buyer_that_withholds_its_examples_pays_as_if_tau_were_reached(first):
    ledger, closing, gained, guilty = end(HIGH, first=first, withheld=1.0)
    assert int(ledger.jobs.phase[0]) == Phase.SETTLED
    assert int(closing.reported_bps) == -1 and not closing.disputed and guilty == []
    assert gained[LAYOUT.sellers].tolist() == [seller_pool(ledger) // 8] * 8  # in equal parts
    assert not gained[LAYOUT.nodes].any()  # nobody could verify: neither paid nor slashed
