"""What bookings move: tables computed by hand, and decisions that were made up."""

import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax import ledger as L
from d2m_jax.ledger.contents import round_content, verification_content
from tests.ledger.worlds import LAYOUT, METRIC, World, matched, open_rules, registered

BUYER, TREASURY, SECRET = 2, LAYOUT.treasury, L.digest_of(**METRIC)
GOOD, BAD = 11, 22
LONG = LAYOUT._replace(num_units=21)  # for jobs of more rounds
SELLERS, NODES = LAYOUT.sellers, LAYOUT.nodes


def a_round(verdicts=(0, 0, 0, 0), metric_bps=0):
    return round_content(5, jnp.array(verdicts), metric_bps)


def checked(metric_bps=9_100, weights=(3, 1, 0, 5), harmful=(0, 0, 0, 0), model=0, metric=SECRET):
    """Content of the verification of what the buyer asked for."""
    sellers = jnp.array(weights), jnp.array(harmful)
    return verification_content(metric_bps, 7_000, model, metric, *sellers)


def book(world, unit, papers, accepted=GOOD, expect=L.Reason.OK, *, job=0, **told):
    """Books a decision that was made up.

    Args:
        world: before.
        unit: round, verification or dispute.
        papers: per node what it revealed, 0 for silence, None for no seat.
        accepted: digest.
        told: fields of the decision that are not as usual; `content` None if nobody tells it.
    """
    usual = a_round() if unit == "round" else checked()
    content = told.pop("content", usual)
    decision = {
        "serial": jnp.int32(world.row(job)["serial"]),
        "is_over": jnp.bool_(True),
        "accepted": jnp.int32(accepted),
        "is_open": jnp.bool_(content is not None and accepted != 0),
        "since": world.ledger.block,
        "drawn": jnp.array([paper is not None for paper in papers]),
        "papers": jnp.array([paper or 0 for paper in papers], jnp.int32),
        "content": jnp.zeros_like(usual) if content is None else content,
    }
    decision = L.Decision(**{**decision, **told})
    world(f"book_{unit}", expect, actor=TREASURY, job=job, decision=decision)
    return world


def trained(**options):
    """Two rounds booked, the examples opened; one node cheated, one was silent."""
    world = matched(**options)
    book(world, "round", [GOOD, GOOD, BAD, 0, None])
    book(world, "round", [GOOD, GOOD, None, None, GOOD])
    return world("open_metric", actor=BUYER, job=0, **METRIC)


def challenged(content=None, **options):
    """Verified: the metric reaches the threshold."""
    content = checked() if content is None else content
    return book(trained(**options), "verification", [GOOD, GOOD, None, 0, GOOD], content=content)


def test_money_table_of_a_full_job():
    """Price 900 = 630 + 225 + 45; three units of 75; a rejected dispute; settlement.

    Round 0: 75 for two, 37 each; 1000 + 100 slashed. Round 1 and verification: 25 each of three; a
    second silence costs another 100. In the dispute three match: min(75, 45) // 3 = 15 each at
    once, nothing of the bond is left. Compute pool 225 - 74 - 75 - 75 = 1 for the buyer. Held 1200:
    600 are burned, of the others all but what the nodes have earned: they get as much again.
    """
    world = challenged()
    row = world.row()
    assert (row["phase"], row["serial"]) == (L.Phase.CHALLENGE, 4)
    assert row["results"][:3] == [GOOD] * 3 and row["papers"][0] == [GOOD, GOOD, BAD, 0, 0]
    assert row["compute_pool"] == 1 and row["earned"] == [87, 87, 0, 0, 50]
    assert row["held"] == [0, 0, 1_000, 200, 0]
    assert row["pledged"] == [1_000, 1_000, 0, 800, 1_000]
    world("open_dispute", actor=BUYER, job=0, unit=1)
    assert world.balances[BUYER] == 10_000 - 900 - 45
    book(world, "dispute", [GOOD, GOOD, None, None, GOOD], content=a_round())
    assert world.balances[7:12] == [2_015, 2_015, 2_000, 2_000, 2_015]
    world("wait", blocks=10)("settle", actor=0, job=0)
    assert world.balances == [
        *(10_000, 10_000, 10_000 - 900 - 45 + 1),
        *(1_210, 1_070, 1_000, 1_350),
        *(2_015 + 2 * 87, 2_015 + 2 * 87, 2_000, 2_000, 2_015 + 2 * 50),
        45,
    ]
    assert world.stakes[7:12] == [1_000, 1_000, 0, 800, 1_000]
    assert int(world.ledger.burned) == 1_200 - 224
    row = world.row()
    assert (row["compute_paid"], row["compensation"], row["refunded"]) == (224 + 224, 224, 1)


def test_money_table_of_a_round_that_falls():
    """Nodes 0 to 2 capture round 0, 3 is outvoted; 4 alone executes it again.

    Round 0: 75 // 3 = 25 each, 3 loses 1000. Round 1: 37 for 0 and 4. Verification: 37 for 0, 4.
    The guilty lose 3000 of pledges and 25 * 3 + 37 + 37 of rewards: 3149. Node 3 gets its 1000
    back and 75, node 4 75 for the work; 2999 left, 45 of it for the disputer, with its bond.
    Forfeited 2954. At the end: 630 to the sellers as 3 : 1 : 0 : 5; 2324 left, burned min(2324,
    half of 3000). To the buyer 824, its 630 + 45 and 2 of compute.
    """
    world = matched()
    book(world, "round", [BAD, BAD, BAD, GOOD, None], BAD)
    book(world, "round", [GOOD, None, None, None, GOOD])
    world("open_metric", actor=BUYER, job=0, **METRIC)
    book(world, "verification", [GOOD, None, None, None, GOOD], content=checked())
    world("open_dispute", actor=LAYOUT.seller(0), job=0, unit=0)
    book(world, "dispute", [BAD, BAD, BAD, None, GOOD], content=a_round())
    row = world.row()
    assert row["phase"] == L.Phase.CHALLENGE and row["spoilt"]
    assert row["pledged"] == [0, 0, 0, 1_000, 1_000] and row["held"] == [0] * 5
    assert row["earned"] == [0, 0, 0, 75, 37 + 37 + 75]
    assert (row["forfeited"], row["compensation"], row["compute_paid"]) == (2_954, 3_000, 45)
    assert row["results"][0] == GOOD and row["papers"][0] == [BAD, BAD, BAD, 0, GOOD]
    assert np.asarray(world.ledger.banned)[NODES].tolist() == [True] * 3 + [False] * 2
    world("take", L.Reason.ALREADY_DONE, actor=BUYER, job=0)
    world("wait", blocks=10)("settle", actor=0, job=0)
    row = world.row()
    assert (row["phase"], row["released"], row["fee_paid"]) == (L.Phase.REFUNDED, False, 0)
    assert world.balances[SELLERS] == [1_000 + 210 + 45, 1_070, 1_000, 1_350]
    assert world.balances[BUYER] == 10_000 - 900 + 824 + 630 + 45 + 2
    assert world.balances[NODES] == [2_000, 2_000, 2_000, 2_075, 2_149]
    assert int(world.ledger.burned) == 1_500 and row["compensation"] == 1_500


def test_a_verification_that_falls_is_replaced():
    """A good model was said to have failed: the truth is booked, the sellers get their pay.

    Node 3 was silent before, and lost the 900 that were left: it gets all of its pledge back.
    """
    world = trained()
    low = checked(metric_bps=5_000, weights=(0, 0, 0, 0), harmful=(1, 0, 0, 0))
    book(world, "verification", [BAD, BAD, None, GOOD, BAD], BAD, content=low)
    assert world.row()["excluded"][0] and world.row()["held"][3] == 100 + 900
    world("open_dispute", actor=LAYOUT.seller(3), job=0, unit=2)
    book(world, "dispute", [None, None, None, GOOD, None])
    row = world.row()
    assert (row["spoilt"], row["metric_bps"], row["weights"]) == (False, 9_100, [3, 1, 0, 5])
    assert row["excluded"] == [False] * 4 and row["results"][2] == GOOD
    assert row["pledged"][3] == 1_000 and row["held"][3] == 0
    world("wait", blocks=10)("settle", actor=0, job=0)
    assert world.row()["phase"] == L.Phase.SETTLED and world.row()["seller_paid"] == 630
    assert world.balances[SELLERS] == [1_210, 1_070, 1_000, 1_350 + 45]


def test_a_slash_is_a_share_of_the_pledge_as_it_was_made():
    """Four tenths, four tenths, and the fifth that is left; the order of slashes is nothing."""
    shares = {"slash_wrong_bps": 4_000, "slash_silent_bps": 500}
    world = matched(layout=LONG, rules=open_rules(num_rounds=4, **shares))
    for paper, left in ((BAD, 600), (0, 550), (BAD, 150), (BAD, 0)):
        book(world, "round", [GOOD, paper, None, None, None])
        assert world.row()["pledged"][1] == left and world.row()["held"][1] == 1_000 - left


def test_the_order_of_the_nodes_does_not_matter():
    rng = np.random.default_rng(0)
    papers, order = np.array([GOOD, BAD, GOOD, 0, None]), rng.permutation(5)
    one, two = matched(), matched()
    book(one, "round", papers)
    book(two, "round", papers[order])
    first, second = one.row(), two.row()
    for name in ("pledged", "held", "earned"):
        assert second.pop(name) == np.array(first.pop(name))[order].tolist()
    assert second.pop("papers")[0] == np.array(first.pop("papers")[0])[order].tolist()
    assert first == second and one.balances == two.balances


def test_a_round_without_a_result_counts_and_pays_nobody():
    """Silence alone is slashed; a dispute of what is not there is refused."""
    world = matched()
    book(world, "round", [0, GOOD, BAD, None, None], 0, content=a_round((1, 2, 1, 2)))
    row = world.row()
    assert (row["round"], row["results"][0], row["compute_pool"]) == (1, 0, 225)
    assert row["pledged"] == [900, 1_000, 1_000, 1_000, 1_000] and row["earned"] == [0] * 5
    assert np.asarray(world.ledger.reputation_bps).tolist() == [5_000] * 4
    book(world, "round", [GOOD] * 5)
    world("open_metric", actor=BUYER, job=0, **METRIC)
    book(world, "verification", [GOOD] * 5)
    for unit in (0, 3, -1, 21, L.INT_MAX):
        world("open_dispute", L.Reason.BAD_VALUE, actor=0, job=0, unit=unit)


def test_a_verification_without_a_result_is_asked_for_again():
    world = trained()("wait", blocks=3)
    since, earned = world.row()["since"], world.row()["earned"]
    book(world, "verification", [0, GOOD, BAD, None, None], 0)
    row = world.row()
    assert (row["phase"], row["since"], row["serial"]) == (L.Phase.VERIFY, since, 4)
    assert row["results"][2] == 0 and row["papers"][2] == [0] * 5 and row["earned"] == earned
    assert row["held"] == [100, 0, 1_000, 100, 0]


@pytest.mark.parametrize("void", ["model", "metric", "untold"])
def test_who_votes_for_what_is_void_is_slashed_and_nobody_else(void):
    """Nonsense that nobody can tell, or a verification of something else than was asked for."""
    world = trained(rules=open_rules(slash_silent_bps=0))
    told = {"untold": {"content": None, "since": world.ledger.block - 20}}
    other = {name: {"content": checked(**{name: 99})} for name in ("model", "metric")}
    world("wait", blocks=20)
    told["untold"]["since"] = world.ledger.block - 20
    book(world, "verification", [BAD, BAD, None, GOOD, 0], BAD, **{**told, **other}[void])
    row = world.row()
    assert row["phase"] == L.Phase.VERIFY and row["results"][2] == 0
    assert row["pledged"] == [0, 0, 0, 1_000, 1_000]


def test_a_digest_waits_for_its_content_and_no_longer():
    world = matched()("wait", blocks=40)
    late = {"content": None, "since": world.ledger.block - 19}
    book(world, "round", [GOOD] * 5, expect=L.Reason.TOO_EARLY, **late)
    book(world, "round", [GOOD] * 5, **{**late, "since": world.ledger.block - 20})
    assert world.row()["results"][0] == 0 and world.row()["pledged"] == [0] * 5


def test_only_the_answer_to_the_latest_request_is_booked():
    world = matched()
    early = L.Reason.TOO_EARLY
    book(world, "round", [GOOD] * 5, expect=early, is_over=jnp.bool_(False))
    for serial in (0, 2, -1):
        book(world, "round", [GOOD] * 5, expect=early, serial=jnp.int32(serial))
    book(world, "verification", [GOOD] * 5, expect=L.Reason.WRONG_PHASE)
    book(world, "dispute", [GOOD] * 5, expect=L.Reason.WRONG_PHASE)
    book(world, "round", [GOOD] * 5)
    book(world, "round", [GOOD] * 5, expect=early, serial=jnp.int32(1))


@pytest.mark.parametrize(
    ("opened", "metric_bps", "phase"),
    [(1, 9_000, "VERIFY"), (1, 8_999, "TRAINING"), (0, 9_000, "TRAINING"), (1, 0, "TRAINING")],
)
def test_a_metric_in_a_round_stops_the_rounds_early(opened, metric_bps, phase):
    """Only when it reaches the threshold, and the buyer has opened its examples."""
    world = matched()
    if opened:
        world("open_metric", actor=BUYER, job=0, **METRIC)
    book(world, "round", [GOOD] * 5, content=a_round(metric_bps=metric_bps))
    assert world.row()["phase"] == L.Phase[phase]


def test_a_round_that_was_not_measured_stops_nothing():
    """A buyer who asks for nothing: a metric of 0 means that there is none."""
    world = registered()
    world("bid", buyer=BUYER, job=0, tags=3, amount=900, tau_bps=0, metric=SECRET)
    world("wait", blocks=20)("close_auction", actor=0, job=0)
    world("open_metric", actor=BUYER, job=0, **METRIC)
    book(world, "round", [GOOD] * 5)
    assert world.row()["phase"] == L.Phase.TRAINING


def test_who_is_banned_works_for_nothing_and_is_slashed_all_the_same():
    """A verdict in another job came between its vote and the booking."""
    world = matched()
    banned = world.ledger.banned.at[np.array([LAYOUT.node(0), LAYOUT.node(1)])].set(True)
    world.ledger = world.ledger.replace(banned=banned)
    book(world, "round", [GOOD, BAD, GOOD, None, None])
    assert world.row()["earned"] == [0, 0, 75, 0, 0] and world.row()["pledged"][1] == 0


def test_no_early_stop_by_a_metric_that_does_not_count():
    world = matched()("open_metric", actor=BUYER, job=0, **METRIC)
    book(world, "round", [GOOD, BAD, None, None, None], 0, content=a_round(metric_bps=9_999))
    assert world.row()["phase"] == L.Phase.TRAINING


def test_reputation_moves_a_tenth_of_the_way():
    world = matched(layout=LONG, rules=open_rules(num_rounds=20))
    for _ in range(15):
        book(world, "round", [GOOD] * 5, content=a_round((0, 1, 2, 2)))
    first, up, down, _ = np.asarray(world.ledger.reputation_bps).tolist()
    assert first == 5_000 and 8_900 < up < 9_100 and 1_000 < down < 1_100


def test_harm_is_paid_for_at_the_settlement():
    """Seller 3 had 5 of 9 weights: the others share 630 as 3 : 1; the buyer gets half of 1000."""
    world = challenged(checked(harmful=(0, 0, 0, 1)))
    assert not world.ledger.banned[LAYOUT.seller(3)]
    world("wait", blocks=10)("settle", actor=0, job=0)
    assert world.balances[SELLERS] == [1_472, 1_158, 1_000, 1_000]
    assert world.stakes[SELLERS] == [1_000, 1_000, 1_000, 0]
    assert world.balances[BUYER] == 10_000 - 900 + 1 + 500
    assert np.asarray(world.ledger.banned)[SELLERS].tolist() == [False] * 3 + [True]


def test_a_dispute_without_a_result_stays_until_its_time_is_out():
    """The bond goes back; nobody has lost by it but who was silent."""
    world = challenged()("open_dispute", actor=0, job=0, unit=0)
    since = world.row()["since"]
    book(world("wait", blocks=5), "dispute", [0, GOOD, BAD, None, None], 0, content=a_round())
    row = world.row()
    assert (row["phase"], row["since"], row["bond"]) == (L.Phase.DISPUTED, since, 45)
    assert row["serial"] == 6 and row["held"] == [100, 0, 1_000, 200, 0]
    world("wait", blocks=195)("time_out", actor=1, job=0)
    assert world.balances[0] == 10_000 and world.row()["phase"] == L.Phase.REFUNDED


def test_anybody_disputes_and_a_false_dispute_costs():
    for actor in (0, BUYER, LAYOUT.seller(1), LAYOUT.node(4), TREASURY):
        world = challenged(treasury_funds=500)
        before = world.balances[actor]
        world("open_dispute", actor=actor, job=0, unit=2)
        book(world, "dispute", [GOOD, GOOD, None, None, None])
        assert world.balances[actor] == before - 45 and world.row()["phase"] == L.Phase.CHALLENGE
    world("open_dispute", actor=0, job=0, unit=2)("wait", blocks=10)
    late = challenged()("wait", blocks=10)
    late("open_dispute", L.Reason.TOO_LATE, actor=0, job=0, unit=2)
    poor = challenged(treasury_funds=44)
    poor("open_dispute", L.Reason.NOT_ENOUGH_MONEY, actor=TREASURY, job=0, unit=2)


def test_what_a_lost_bond_does_not_pay_is_burned():
    world = challenged()("open_dispute", actor=0, job=0, unit=2)
    book(world, "dispute", [GOOD, GOOD, GOOD, None, None])  # node 2 has no pledge: 22 for each
    assert int(world.ledger.burned) == 1 and world.balances[NODES][:3] == [2_022, 2_022, 2_000]


def test_two_rounds_fall_one_after_the_other():
    """The second fall is paid by what the first one left: the guilty are the same."""
    world = matched()
    book(world, "round", [BAD, BAD, GOOD, None, None], BAD)
    book(world, "round", [BAD, BAD, None, GOOD, None], BAD)
    world("open_metric", actor=BUYER, job=0, **METRIC)
    book(world, "verification", [GOOD] * 5)
    for unit in (0, 1):
        world("open_dispute", actor=BUYER, job=0, unit=unit)
        before = world.balances[BUYER]
        book(world, "dispute", [None, None, None, None, GOOD], content=a_round())
        assert world.balances[BUYER] == before + 45 + 45
    row = world.row()
    assert row["pledged"] == [0, 0, 1_000, 1_000, 1_000] and row["held"] == [0] * 5
    assert row["earned"] == [0, 0, 75, 75, 25 + 75 + 75]
    assert row["forfeited"] == 2 * (1_000 + 37 + 37 + 25) - 4 * 75 - 2 * 45


def captured(verified=GOOD, **options):
    """Nodes 0 and 1 take round 0, node 2 is outvoted; verified, and disputed by the buyer."""
    world = matched(**options)
    book(world, "round", [BAD, BAD, GOOD, None, None], BAD)
    book(world, "round", [None, None, None, GOOD, GOOD])
    world("open_metric", actor=BUYER, job=0, **METRIC)
    content = checked() if verified == GOOD else checked(metric_bps=5_000)
    book(world, "verification", [None, None, None, verified, GOOD], verified, content=content)
    return world("open_dispute", actor=BUYER, job=0, unit=0)


def test_the_guilty_lose_once_though_they_lie_again():
    world = captured(rules=open_rules(slash_wrong_bps=4_000))
    book(world, "dispute", [BAD, 0, None, BAD, GOOD], content=a_round())
    row = world.row()
    assert row["pledged"] == [600, 600, 1_000, 600, 1_000]
    assert row["held"] == [0, 0, 0, 400, 0] and row["compensation"] == 800


def test_who_was_right_and_is_banned_has_its_pledge_back_and_no_pay():
    world = captured()
    banned = world.ledger.banned.at[LAYOUT.node(2)].set(True)
    world.ledger = world.ledger.replace(banned=banned)
    book(world, "dispute", [None, None, None, None, GOOD], content=a_round())
    assert world.row()["pledged"][2] == 1_000 and world.row()["earned"][2] == 0


def test_a_spoilt_model_stays_spoilt_when_its_verification_falls():
    world = captured(verified=BAD)
    book(world, "dispute", [None, None, None, None, GOOD], content=a_round())
    world("open_dispute", actor=BUYER, job=0, unit=2)
    again = checked(harmful=(1, 0, 0, 0))
    book(world, "dispute", [None, None, None, None, GOOD], content=again)
    row = world.row()
    assert row["spoilt"] and row["metric_bps"] == 9_100
    world("wait", blocks=10)("settle", actor=0, job=0)
    assert world.row()["phase"] == L.Phase.REFUNDED and world.stakes[SELLERS] == [1_000] * 4
    assert not np.asarray(world.ledger.banned)[SELLERS].any()  # of a spoilt model nothing is shown


def test_the_electorate_is_who_has_a_pledge_and_no_ban():
    world = matched()
    book(world, "round", [GOOD, BAD, 0, None, None])
    ledger = world.ledger.replace(banned=world.ledger.banned.at[LAYOUT.node(4)].set(True))
    assert np.asarray(L.electorate(ledger, 0)).tolist() == [1_000, 0, 900, 1_000, 0]
    world("top_up", actor=LAYOUT.node(1), amount=500)
    assert np.asarray(L.electorate(world.ledger, 0)).tolist()[1] == 0


def sealed(**rules):
    """Two sealed bids wait for their reveal."""
    world = registered(rules=L.make_rules(num_rounds=2, **rules))
    for buyer in (0, 1):
        request = {"job": 0, "buyer": buyer, "amount": 500, "tau_bps": 0, "model": 0, "metric": 1}
        seal = L.commitment_of(**request, salt=3)
        world("seal", buyer=buyer, job=0, tags=1, deposit=600, commitment=seal)
    return world("wait", blocks=20)


def shown(world, buyer):
    request = {"amount": 500, "tau_bps": 0, "model": 0, "metric": 1, "salt": 3}
    return world("reveal", buyer=buyer, job=0, **request)


@pytest.mark.parametrize("by_stake", [0, 1])
def test_who_comes_after_the_first_reveal_is_no_candidate(by_stake):
    """Salts are known from then on: no new node, no stake on top; who left before is out."""
    world = sealed(by_stake=by_stake)
    world("top_up", actor=LAYOUT.node(1), amount=500)
    shown(world, 0)
    world("top_up", actor=LAYOUT.node(0), amount=2_000)
    world("request_withdrawal", actor=LAYOUT.node(2), amount=1_000)
    shown(world, 1)
    expected = [1_000, 1_500 if by_stake else 1_000, 1_000, 1_000, 1_000]
    assert world.row()["offered"] == expected and world.row()["frozen"]
    world("wait", blocks=10)("close_auction", actor=0, job=0)
    assert world.row()["pledged"] == expected and world.row()["serial"] == 1


def test_a_job_that_too_few_nodes_can_serve_is_aborted():
    """A cheap job has taken the pledges: no electorate of those alone that have more."""
    world = registered(rules=open_rules(min_nodes=2), seller_funds=4_000, node_funds=4_000)
    world("top_up", actor=LAYOUT.node(0), amount=1_000)
    for i in range(4):
        world("top_up", actor=LAYOUT.seller(i), amount=1_000)
    for job in (0, 1):
        world("bid", buyer=job, job=job, tags=1 + job, amount=1_000, tau_bps=0)
    world("wait", blocks=20)("close_auction", actor=0, job=0)("close_auction", actor=0, job=1)
    assert world.row(0)["phase"] == L.Phase.MATCHED and world.row(1)["phase"] == L.Phase.ABORTED
    assert world.balances[1] == 10_000 and world.stakes[LAYOUT.node(0)] == 1_000


def test_a_spoilt_job_whose_dispute_never_ends_pays_the_sellers_all_the_same():
    world = matched()
    book(world, "round", [BAD, BAD, None, None, GOOD], BAD)
    book(world, "round", [GOOD] * 5)
    world("open_metric", actor=BUYER, job=0, **METRIC)
    book(world, "verification", [GOOD] * 5, content=checked(weights=(0,) * 4, harmful=(1,) * 4))
    world("open_dispute", actor=BUYER, job=0, unit=0)
    book(world, "dispute", [None, None, GOOD, None, None], content=a_round())
    world("open_dispute", actor=BUYER, job=0, unit=1)("wait", blocks=200)
    world("time_out", actor=BUYER, job=0)
    assert world.row()["phase"] == L.Phase.REFUNDED and world.row()["seller_paid"] == 630
    assert world.balances[SELLERS] == [1_157, 1_158, 1_157, 1_158]
    assert not np.asarray(world.ledger.banned)[SELLERS].any()


def test_the_treasury_has_no_power():
    """Funds of its own, and what every account may do: it gets the fee, nothing else."""
    world = World(treasury_funds=5_000)
    for name in ("register_seller", "register_node", "bid", "set_ask", "open_metric", "take"):
        who = {"buyer": TREASURY} if name == "bid" else {"actor": TREASURY}
        rest = {
            "register_seller": {"tags": 1, "size": 1, "commitment": 1, "deposit": 1_000},
            "register_node": {"stake": 1_000},
            "bid": {"job": 0, "tags": 1, "amount": 500, "tau_bps": 0},
            "set_ask": {"ask": 0, "max_tau_bps": 1},
            "open_metric": {"job": 0, "content": 1, "salt": 1},
            "take": {"job": 0},
        }[name]
        wrong = name in ("open_metric", "take")
        world(name, L.Reason.WRONG_PHASE if wrong else L.Reason.NOT_AUTHORISED, **who, **rest)
