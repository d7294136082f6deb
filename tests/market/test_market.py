"""The whole market: worlds whose ending is known, and transformations that must change nothing."""

import dataclasses
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import as_arrays
from d2m_jax import ledger as books
from d2m_jax.attacks import Attack
from d2m_jax.cone import ConeParams
from d2m_jax.ledger import Phase, wealth
from d2m_jax.ledger.gas import NEW_NODE
from d2m_jax.market.bidding import Bidding
from d2m_jax.report.tables import gas_of_rounds, money_table
from tests.worlds import SPEC, compiled, digits, market, numbers, play

LAYOUT = market().layout


def change(outcome):
    """[A] units that every account gained."""
    return np.asarray(wealth(outcome.ledger) - wealth(outcome.opening))


def assert_sound(outcome):
    facts = books.invariants(outcome.ledger)
    assert all(facts.values()), facts
    assert int(outcome.ledger.supply) == int(outcome.opening.supply)


def test_an_honest_world_trains_settles_and_pays():
    outcome = play(numbers())
    assert_sound(outcome)
    assert int(outcome.phase) == Phase.SETTLED
    assert float(outcome.test_metric) > 0.8
    assert float(outcome.evaluations.test_metric[0]) < float(outcome.test_metric)
    gained = change(outcome)
    price = int(outcome.ledger.jobs.price[0])
    winner = int(outcome.ledger.jobs.buyer[0])
    assert (winner, price) == (0, 700_000)  # it pays the second-highest value
    assert (gained[LAYOUT.nodes] >= 0).all() and gained[LAYOUT.sellers].sum() > 0
    assert gained[[1, 2]].tolist() == [0, 0]  # losing bidders end with what they had
    assert gained.sum() == 0 and int(outcome.ledger.burned) == 0
    assert not outcome.closing.disputed


def test_a_captured_cone_spoils_the_model_and_pays_the_adversary():
    honest = play(numbers())
    everyone = {"num_colluding": SPEC.num_nodes, "num_byzantine": 2}
    captured = play(numbers(population=everyone))
    assert_sound(captured)
    assert (np.asarray(captured.rounds.accepted_digest) > 0).all()
    assert float(captured.test_metric) < 0.3 < 0.8 < float(honest.test_metric)
    assert int(captured.closing.reported_bps) == 10_000  # the liars claim success
    assert int(captured.phase) == Phase.SETTLED  # nobody is left to prove them wrong
    pay = np.asarray(captured.ledger.jobs.weights[0])
    assert pay[np.asarray(captured.roles.byzantine)].sum() == pay.sum() > 0


def test_a_wrong_result_is_disputed_and_made_good():
    # A minority lies and base 1 with a weak rule lets it through now and then.
    weak = ConeParams(base=1, f_max=0.1, beta=0.2)
    outcomes = [
        play(numbers(population={"num_colluding": 8}, cone=weak), seed=seed) for seed in range(6)
    ]
    wrong = [(np.asarray(o.rounds.accepted_digest) > 0).sum() for o in outcomes]
    assert sum(wrong) > 0
    for outcome, count in zip(outcomes, wrong):
        assert_sound(outcome)
        assert bool(outcome.closing.was_true) >= bool(count)
        if bool(outcome.closing.upheld):
            is_paid = int(outcome.phase) == Phase.SETTLED
            # A spoilt model is not paid for; a false verdict alone gives way to the true one.
            assert bool(outcome.closing.corrected) == (count == 0)
            assert is_paid == (count == 0 and float(outcome.closing.metric) >= 0.6)
            # The sellers of a spoilt one have what the guilty lost, as far as it goes.
            assert int(outcome.ledger.jobs.seller_paid[0]) <= 490_000
            assert bool((outcome.ledger.banned[LAYOUT.nodes]).any())
    assert any(bool(o.closing.upheld) for o in outcomes)


def test_a_missed_threshold_refunds_the_buyer_and_pays_honest_compute():
    outcome = play(numbers(tau=1.0))
    assert_sound(outcome)
    assert int(outcome.phase) == Phase.REFUNDED
    gained, job = change(outcome), outcome.ledger.jobs
    work, compute = int(job.seller_paid[0]), int(job.compute_paid[0])
    assert gained[LAYOUT.sellers].sum() == work == 700_000 * 7 // 10 // 5  # for accepted work
    assert gained[LAYOUT.nodes].sum() == compute > 0 and gained[0] == -work - compute
    assert int(job.refunded[0]) + work + compute == int(job.price[0])


def test_the_last_accuracy_and_the_ending_of_stacked_worlds():
    worlds = play(numbers()), play(numbers(tau=1.0))
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), *worlds)
    np.testing.assert_array_equal(both.phase, [int(world.phase) for world in worlds])
    np.testing.assert_array_equal(both.test_metric, [world.test_metric for world in worlds])


def test_too_few_sellers_with_the_tags_abort_and_nothing_is_trained():
    outcome = play(numbers(population={"num_strangers": 5}))
    assert_sound(outcome)
    assert int(outcome.phase) == Phase.ABORTED
    assert (change(outcome) == 0).all()  # the buyer pays nothing, not even a fee
    np.testing.assert_array_equal(*outcome.evaluations.test_metric)


def test_strangers_are_not_matched_and_tag_liars_are():
    outcome = play(numbers(population={"num_strangers": 2, "num_tag_liars": 2}))
    assert_sound(outcome)
    matched = np.asarray(outcome.ledger.jobs.matched[0])
    np.testing.assert_array_equal(matched, ~np.asarray(outcome.roles.stranger))
    sampled = np.asarray(outcome.rounds.sellers)
    assert not np.asarray(outcome.roles.stranger)[sampled].any()
    assert np.asarray(outcome.roles.tag_liar)[sampled].any()


def test_nobody_bids_below_the_reserve():
    outcome = play(numbers(money={"buyer_values": (10, 20, 30)}))
    assert_sound(outcome)
    assert int(outcome.phase) == Phase.IDLE and int(outcome.auction.num_bids) == 0
    assert (change(outcome) == 0).all()


def test_shading_buyers_pay_less_or_lose():
    shaded = play(numbers(money={"buyer_shading_bps": (5_000, 10_000, 10_000)}))
    assert int(shaded.ledger.jobs.buyer[0]) == 1
    np.testing.assert_array_equal(shaded.auction.limits, [450_000, 700_000, 500_000])
    first = play(numbers(), spec=dataclasses.replace(SPEC, auction="first_price"))
    assert int(first.ledger.jobs.price[0]) == int(first.auction.highest[0]) == 900_000


@pytest.mark.slow
def test_an_ascending_auction_comes_to_about_the_second_value():
    """Within an increment of 5 %; a buyer that jumps to all its cash pays no less."""
    spec = dataclasses.replace(SPEC, auction="ascending")
    for conduct in ((), (Bidding.ALL_CASH, 0, 0)):
        outcome = play(numbers(money={"buyer_conduct": conduct}), spec=spec)
        assert_sound(outcome)
        assert int(outcome.ledger.jobs.buyer[0]) == 0
        assert 700_000 / 1.05 <= int(outcome.ledger.jobs.price[0]) <= 700_000


def test_a_buyer_that_does_not_reveal_loses_a_fifth_of_its_deposit():
    outcome = play(numbers(money={"buyer_conduct": (Bidding.UNREVEALED, 0, 0)}))
    assert_sound(outcome)
    assert int(outcome.ledger.jobs.buyer[0]) == 1 and int(outcome.ledger.jobs.price[0]) == 500_000
    assert change(outcome)[0] == -180_000
    assert int(outcome.ledger.burned) == 180_000


def test_sellers_that_do_not_consent_are_not_matched():
    """The price is 700,000, so the seller pool is 490,000; tau is 0.6."""
    for terms in ({"seller_ask": 490_001}, {"seller_max_tau_bps": 5_999}):
        outcome = play(numbers(money=terms))
        assert int(outcome.phase) == Phase.ABORTED and (change(outcome) == 0).all()
    outcome = play(numbers(money={"seller_ask": 490_000, "seller_max_tau_bps": 6_000}))
    assert int(outcome.phase) == Phase.SETTLED


def test_a_false_dispute_costs_its_bond():
    quiet = play(numbers())
    noisy = play(numbers(conduct={"false_dispute": 1.0}))
    assert_sound(noisy)
    assert bool(noisy.closing.disputed) and not bool(noisy.closing.was_true)
    assert not bool(noisy.closing.upheld) and int(noisy.phase) == Phase.SETTLED
    price = int(noisy.ledger.jobs.price[0])
    bond = price * books.DEFAULT_RULES["bond_bps"] // 10_000
    assert change(noisy)[0] == change(quiet)[0] - bond


def test_silent_nodes_lose_a_little_and_everybody_silent_times_out():
    few = play(numbers(population={"num_silent": 3}))
    assert_sound(few)
    silent = np.asarray(few.roles.behaviour) == 3
    gained = change(few)[LAYOUT.nodes]
    assert gained[silent].min() < 0 <= gained[~silent].min()
    mute = play(numbers(population={"num_silent": SPEC.num_nodes}))
    assert_sound(mute)
    assert int(mute.phase) == Phase.REFUNDED and int(mute.closing.reported_bps) == -1
    np.testing.assert_array_equal(*mute.evaluations.test_metric)


@pytest.mark.slow
def test_epochs_carry_balances_stakes_reputation_and_bans():
    """Three jobs with one ledger: who was banned in one is not paid in the next."""
    weak = ConeParams(base=1, f_max=0.1, beta=0.2)
    hparams = numbers(population={"num_colluding": 8, "num_byzantine": 2}, cone=weak)
    epochs = [play(hparams)]
    for _ in range(2):
        epochs.append(play(hparams, ledger=epochs[-1].ledger))
    for before, after in itertools.pairwise(epochs):
        assert_sound(after)
        old, new = before.ledger, after.opening
        np.testing.assert_array_equal(wealth(old), wealth(new))
        for name in ("stakes", "banned", "registered", "reputation_bps", "supply", "burned"):
            np.testing.assert_array_equal(getattr(old, name), getattr(new, name), err_msg=name)
        banned = np.asarray(old.banned)
        assert (np.asarray(after.ledger.banned) >= banned).all()
        assert (change(after)[banned] <= 0).all()
        assert not (banned[LAYOUT.sellers] & np.asarray(after.ledger.jobs.matched[0])).any()
        assert int(after.ledger.block) > int(old.block)
    assert np.asarray(epochs[0].ledger.banned)[LAYOUT.nodes].any()
    assert not np.array_equal(epochs[0].ledger.reputation_bps, epochs[2].ledger.reputation_bps)


def test_money_of_a_fixed_world_by_hand():
    """Every unit computed on paper.

    One of three buyers can pay the reserve, so the price is the reserve, 200,000 (second price):
    sellers 140,000, fee 10,000, compute 50,000. 13 units of work (12 rounds and the verification)
    share the compute pool: 50,000 // 13 = 3,846 each. With nobody lying and beta = 1e-2,
    f_max = 1/3, the rule wants a lead of d* = 7: sets of 5 and 6 seats, 11 nodes, 3,846 // 11 = 349
    each, 3,839 a unit. 50,000 - 13 * 3,839 = 93 units are left for the buyer. All 8 sellers are
    accepted in all 12 rounds and paid by count: 1,250 of 10,000 shares each, 17,500 units.
    """
    spec = dataclasses.replace(
        SPEC, num_sampled=8, sampler="uniform", contribution="count", attack="none"
    )
    hparams = numbers(
        money={"buyer_values": (250_000, 190_000, 10)}, cone=ConeParams(beta=1e-2), attack={}
    )
    outcome = play(dataclasses.replace(hparams, attack={}), spec=spec)
    assert_sound(outcome)
    assert int(outcome.phase) == Phase.SETTLED
    assert (np.asarray(outcome.rounds.executions) == 11).all()
    gained = change(outcome)
    assert gained[LAYOUT.buyers].tolist() == [-200_000 + 93, 0, 0]
    assert gained[LAYOUT.sellers].tolist() == [17_500] * 8
    assert gained[LAYOUT.nodes].sum() == 13 * 3_839
    assert set(gained[LAYOUT.nodes] % 349) == {0}
    assert gained[LAYOUT.treasury] == 10_000
    table = money_table(outcome, LAYOUT).set_index("group")
    assert table.loc["total", "before"] == table.loc["total", "after"] == 9_400_000 + 600_000
    assert table.loc["sellers, honest", "change"] == 140_000
    # 11 of 24 nodes have an outcome, 8 of 8 sellers a verdict
    once = int(books.gas_of_round(num_sellers=8, num_matched=8, num_nodes=24, num_drawn=11))
    gas = gas_of_rounds(np.asarray(outcome.rounds.executions), outcome.ledger)
    assert gas.tolist() == [once + NEW_NODE * new for new in (11, 11, 2, *[0] * 9)]


@pytest.fixture(scope="module")
def poisoned_run():
    """A market whose Byzantine sellers send what `hparams.attack["kind"]` says."""

    def forge(key, updates, byzantine, *, context, kind=0.0):
        del key, context
        bad = jnp.select([kind == 0, kind == 1, kind == 2], [jnp.nan, jnp.inf, 3e38], -1e30)
        return jnp.where(byzantine[:, None], bad, updates)

    spec = dataclasses.replace(SPEC, attack=Attack(forge, finite=False))
    return lambda hparams: play(hparams, spec=spec)


@pytest.mark.slow
@pytest.mark.parametrize("kind", range(4))
def test_nan_inf_and_huge_updates_are_refused_and_counted(poisoned_run, kind):
    outcome = poisoned_run(numbers(population={"num_byzantine": 3}, attack={"kind": kind}))
    assert_sound(outcome)
    chex.assert_tree_all_finite((outcome.theta, outcome.scores, outcome.rounds.direction_norm))
    bad = np.asarray(outcome.roles.byzantine)[np.asarray(outcome.rounds.sellers)]
    accepted = np.asarray(outcome.rounds.accepted)
    assert bad.any() and not (bad & accepted).any()
    refused = np.asarray(outcome.rounds.refused)
    assert refused.sum() > 0 and (refused <= bad.sum(1)).all()
    assert float(outcome.test_metric) > 0.8


@pytest.mark.slow
def test_one_compilation_serves_all_numbers_and_seeds():
    _, data = digits()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def run(key, hparams, data):
        return market().run(key, hparams, data)

    for seed, hparams in enumerate(
        [numbers(), numbers(tau=1, population={"num_byzantine": 3}, learning={"lr": 1})]
    ):
        run(jax.random.key(seed), as_arrays(hparams), data)


def test_the_same_seed_gives_the_same_bits():
    hparams = numbers(population={"num_byzantine": 2, "num_colluding": 5})
    one, two = play(hparams, seed=3), play(hparams, seed=3)
    chex.assert_trees_all_equal(one, two)
    assert not np.array_equal(one.theta, play(hparams, seed=4).theta)


@pytest.mark.slow
def test_round_by_round_equals_the_whole_run():
    _, data = digits()
    hparams = as_arrays(numbers(population={"num_byzantine": 2, "num_colluding": 5}))
    whole = jax.jit(market().run)(jax.random.key(5), hparams, data)
    parts = compiled()(jax.random.key(5), hparams, data)
    chex.assert_trees_all_equal(whole.ledger, parts.ledger)
    chex.assert_trees_all_close(
        (whole.theta, whole.rounds, whole.evaluations),
        (parts.theta, parts.rounds, parts.evaluations),
        atol=1e-5,
    )


def in_one_program_and_alone(spec, count=64):
    """The same worlds under vmap and one by one: `[(row of the batch, single outcome), ...]`."""
    _, data = digits()
    points = [
        as_arrays(numbers(population={"num_byzantine": i % 4, "num_colluding": i % 5}))
        for i in range(count)
    ]
    keys = jax.vmap(jax.random.key)(jnp.arange(count) // 4)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *points)
    together = jax.jit(jax.vmap(market(spec).run, in_axes=(0, 0, None)))(keys, stacked, data)
    for i in range(count):
        alone = compiled(spec)(keys[i], points[i], data)
        yield jax.tree.map(lambda x, i=i: x[i], together), alone


def integers(tree):
    return [x for x in jax.tree.leaves(tree) if x.dtype in (jnp.int32, jnp.bool_)]


def assert_same_learning(row, alone):
    """Floats to 1e-4: under vmap XLA fuses multiply and add elsewhere, which is 1e-7 a step, and 12
    rounds amplify that. An accuracy may differ by the one test image whose two best logits tie."""
    np.testing.assert_allclose(row.theta, alone.theta, atol=1e-4)
    np.testing.assert_allclose(row.test_metric, alone.test_metric, atol=1.01 / 355)


def at_an_edge(scores):
    """A score so near to the middle of two hundredths of the best that the last bits decide."""
    hundredths = 100 * np.asarray(scores, float) / max(float(scores.max()), 1e-30)
    return bool((abs(hundredths % 1 - 0.5) < 1e-4).any())


@pytest.mark.slow
def test_vmap_over_64_worlds_gives_the_same_integers_as_single_runs():
    compared = 0
    for row, alone in in_one_program_and_alone(SPEC):
        assert_same_learning(row, alone)
        np.testing.assert_allclose(row.scores, alone.scores, rtol=1e-6, atol=1e-6)
        if not at_an_edge(alone.scores):
            chex.assert_trees_all_equal(integers(row), integers(alone))
            compared += 1
    assert compared >= 60
