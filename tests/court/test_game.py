"""Games before the court: whoever lies loses, whatever it does, as long as one party is honest."""

import math

import pytest

from d2m_jax.court import game
from d2m_jax.court.players import (
    Player,
    at_once,
    at_the_last,
    hollow,
    never,
    play_case,
)
from d2m_jax.court.steps import Op, Work, run
from d2m_jax.court.tree import pair
from d2m_jax.ledger import Reason
from tests.court.worlds import (
    POOLED,
    TRUTH,
    WORK,
    Contest,
    Trace,
    honest,
    lying,
)

TERMS = game.Terms()
NEW = game.Court(TERMS)
GOOD, BAD = 1, 2
PER_DUEL = 2 * TERMS.budget + TERMS.judging + 3  # the longest that a duel can last
RIGHT = honest().tree.leaves[-1]
RIGHT_ROOT = honest().tree.root


def liar(at=3, number=77, actor=BAD, **how):
    return Player(actor, lying(at, number), honest=False, **how)


def truth(**how):
    return Player(GOOD, honest(), **how)


def play(*players, accused=None, terms=TERMS, work=WORK):
    played = play_case(game.Court(terms), work, players, accused=accused)
    money = sum(played.court.balances.values()) + played.court.burned
    bonds = sum(claim.owner != game.NOBODY for claim in played.court.claims)
    assert money == played.court.held == terms.bond * bonds
    return played


def paid(played, actor=GOOD):
    """What an account has gained, bonds that it posted deducted."""
    posted = sum(claim.owner == actor for claim in played.court.claims) * TERMS.bond
    return played.court.balances.get(actor, 0) - posted


def test_random_games_are_those_of_the_slow_model():
    seen, ended = set(), set()
    for seed in range(150):
        trace = Trace(seed)
        for _ in range(120):
            trace.step()
        seen |= set(trace.seen)
        ended.add((trace.court.cases[trace.case].closed >= 0, bool(trace.slow.claims)))
    receipts = {(name, reason.name) for name, reason in seen}
    assert receipts >= {
        *(("claim", name) for name in ("OK", "WRONG_PHASE", "TOO_LATE", "BAD_VALUE", "TOO_EARLY",
                                       "ALREADY_DONE", "NOT_ENOUGH_MONEY", "UNKNOWN_JOB")),
        *(("play", name) for name in ("OK", "UNKNOWN_JOB", "WRONG_PHASE", "TOO_LATE", "BAD_VALUE")),
        *(("judge", name) for name in ("OK", "UNKNOWN_JOB", "WRONG_PHASE", "TOO_LATE",
                                       "BAD_VALUE")),
        *(("time_out", name) for name in ("OK", "UNKNOWN_JOB", "WRONG_PHASE", "TOO_EARLY")),
        *(("close", name) for name in ("OK", "WRONG_PHASE", "TOO_EARLY")),
        *(("pay_out", name) for name in ("OK", "NOT_ENOUGH_MONEY")),
    }  # fmt: skip
    assert (True, True) in ended


@pytest.mark.parametrize("seed", range(6))
def test_a_contested_case_is_that_of_the_slow_model(seed):
    for is_judged in (False, True):
        trace = Contest(seed).play_on(is_judged)
        assert trace.court.cases[trace.case].is_contested != is_judged
        assert (game.ruling(trace.court, trace.case).root != game.EMPTY) == is_judged


EXACT = [at for at in range(len(WORK.steps)) if at != POOLED]


@pytest.mark.parametrize("at", EXACT)
@pytest.mark.parametrize("liar_first", [False, True])
def test_a_lie_at_any_step_loses_to_the_truth(at, liar_first):
    players = [liar(at), truth()] if liar_first else [truth(), liar(at)]
    played = play(*players)
    assert played.result == RIGHT
    answers = WORK.depth + 1  # halvings, and the judgement
    assert played.messages == 2 * 2 + answers + 1  # commitments and claims before, closed after
    assert paid(played, GOOD) > 0 > paid(played, BAD)


@pytest.mark.parametrize("liar_first", [False, True])
def test_a_claimant_that_does_not_answer_runs_out_of_time(liar_first):
    players = [liar(answers=never), truth()]
    played = play(*(players if liar_first else players[::-1]))
    assert played.result == RIGHT and paid(played, BAD) <= -TERMS.bond + TERMS.fee
    assert TERMS.budget < played.blocks <= max(TERMS.window, TERMS.budget + WORK.depth) + 6


@pytest.mark.parametrize("seed", range(3))
def test_a_root_without_a_preimage_cannot_be_defended(seed):
    made_up = Player(BAD, hollow(lying(3), seed), honest=False)
    played = play(made_up, truth())
    assert played.result == RIGHT and paid(played, BAD) <= -TERMS.bond + WORK.depth * TERMS.fee


def test_a_claimant_that_gives_up_late_costs_its_bond_and_at_most_two_clocks():
    played = play(liar(answers=at_the_last), truth())
    assert played.result == RIGHT
    assert TERMS.budget <= played.blocks <= PER_DUEL
    assert paid(played, BAD) < -0.9 * TERMS.bond


@pytest.mark.parametrize("halts_at", [0, 4, 8])
def test_a_claim_that_is_too_short_is_a_claim_with_a_wrong_step(halts_at):
    """It repeats its checkpoint: the step that it left out is a step that changes nothing."""
    memory = Work(WORK.start, WORK.program[:halts_at])
    values = run(memory, honest().given if halts_at > POOLED else None).memory.values
    rest = {i: values[step.into] for i, step in enumerate(WORK.steps) if i >= halts_at}
    short = run(WORK, {**dict(honest().given), **rest})
    if halts_at == 8:  # only HALT was left out: it is the truth
        assert short.tree.root == honest().tree.root
        return
    assert short.tree.leaves[-1] == short.tree.leaves[halts_at]
    played = play(Player(BAD, short, honest=False), truth())
    assert played.result == RIGHT and paid(played, BAD) < 0


def test_a_claim_that_is_too_long_loses_at_a_step_that_does_nothing():
    assert WORK.steps[-1].op == Op.HALT
    played = play(liar(len(WORK.steps) - 1), truth())
    assert played.result == RIGHT
    tall = run(Work(WORK.start, WORK.program * 3), {}.__class__(
        {i: TRUTH for i in range(27) if i % 9 == POOLED}
    )).tree  # fmt: skip
    court, _ = game.open_case(NEW, RIGHT, RIGHT, WORK.depth, 5, bytes(32))
    (case,) = court.cases
    nodes = tall.children(tall.depth, 0)
    made = game.claim(court, BAD, case, *nodes, RIGHT, tall.proof(0), tall.proof(31), RIGHT, 0)
    assert made == (court, Reason.BAD_VALUE)  # another length is no claim of this case


@pytest.mark.parametrize("sybils", [1, 2, 3, 5, 8, 16])
def test_the_delay_of_many_sybils_grows_with_their_logarithm(sybils):
    """All stall; blocks are bounded by the rounds of the tournament, answers by the claims."""
    how = {"answers": at_the_last}
    crowd = [liar(1 + i % 5, 500 + i, actor=100 + i, **how) for i in range(sybils)]
    for place in (0, sybils // 2, sybils):
        played = play(*crowd[:place], truth(), *crowd[place:])
        assert played.result == RIGHT
        rounds = math.ceil(math.log2(sybils + 1))
        assert played.blocks <= rounds * PER_DUEL + 3
        assert played.answers <= sybils * (WORK.depth + 1)
        assert paid(played, GOOD) >= 0  # every message of its own is paid for
        lost = sum(TERMS.bond - played.court.balances.get(100 + i, 0) for i in range(sybils))
        assert lost > 0.45 * sybils * TERMS.bond  # linear in what the delay is logarithmic in


@pytest.mark.parametrize(("censored", "survives"), [(0, 0), (20, 0), (36, 0), (60, 1)])
def test_a_censored_challenger_wins_as_long_as_its_clock_holds(censored, survives):
    """Its clock runs while its messages are kept out, from block 2 on, in the midst of the duel."""
    reaches = lambda block: not 2 <= block < 2 + censored
    played = play(liar(), truth(reaches=reaches))
    assert (played.result != RIGHT) == survives
    other = Player(7, honest(), claims=False)  # whoever is not censored may answer in its place
    rescued = play(liar(), truth(reaches=reaches), other)
    assert rescued.result == RIGHT and (paid(rescued, 7) > 0) == (censored > 0)


def test_censored_through_the_whole_window_there_is_no_challenge():
    late = truth(since=TERMS.window + 2)
    assert play(liar(), late).result != RIGHT
    assert play(liar(), truth(since=TERMS.window - 1)).result == RIGHT


def test_a_step_for_the_pool_is_what_the_vote_has_said():
    """What stands by right is right there, whoever claims otherwise; between others nothing is."""
    wrong = lying(POOLED, TRUTH + 1)
    for said, other in ((honest(), wrong), (wrong, honest())):
        players = Player(GOOD, other), Player(BAD, said, claims=False)
        played = play(*players, accused=said.tree.root)
        ruling = game.ruling(played.court, played.case)
        assert ruling.root == said.tree.root and not ruling.is_proven
        assert paid(played, GOOD) < 0 < paid(played, BAD)  # it has answered for what stands
    none = play(liar(POOLED, TRUTH + 1), truth())
    assert none.winner == 0 and none.result == game.EMPTY and none.court.burned > TERMS.bond


@pytest.mark.parametrize("at", EXACT)
@pytest.mark.parametrize("answers", [at_once, never])
def test_no_claim_is_in_the_way_of_the_truth_before_it_has_met_what_stands(at, answers):
    """Cheap claims come first and differ from both at the pool's step, or fall silent."""
    lie = lying(at)
    silent = [Player(100 + i, lying(POOLED, i), answers=never, honest=False) for i in range(3)]
    loud = [Player(200 + i, lying(POOLED, 50 + i), honest=False) for i in range(3)]
    guard = Player(BAD, lie, answers=answers, claims=False, honest=False)
    played = play(*silent, *loud, truth(), guard, accused=lie.tree.root)
    ruling = game.ruling(played.court, played.case)
    assert ruling.root != lie.tree.root
    if answers is at_once:  # else they have beaten it, too: by its silence
        assert ruling.is_proven and ruling.root == honest().tree.root


@pytest.mark.parametrize("at", [0, 3, 5])
@pytest.mark.parametrize("place", range(3))
def test_two_claims_that_a_pools_step_parts_from_the_truth_do_not_put_a_third_in_its_place(
    at, place
):
    """All three prove the lie wrong. Two go out together; what is left need not be the truth."""
    lie = lying(at)
    crowd = [Player(100 + i, lying(POOLED, 50 + i)) for i in range(2)]
    crowd.insert(place, truth())
    guard = Player(BAD, lie, claims=False, honest=False)
    played = play(*crowd, guard, accused=lie.tree.root)
    case, ruling = played.court.cases[played.case], game.ruling(played.court, played.case)
    assert ruling.root == game.EMPTY and ruling.owner == game.NOBODY
    assert case.is_contested and case.waiting and ruling.is_proven
    left = played.court.claims[case.waiting - 1]
    assert left.bond == 0 and paid(played, left.owner) > -TERMS.bond / 10  # it has come back
    assert played.court.burned > TERMS.bond  # those of the other two have not


def test_two_lies_in_an_exact_step_do_not_hide_the_truth():
    """Anybody who has seen their answers can show the step; then nothing is open between them."""
    lie = lying(5)
    crowd = [Player(100 + i, lying(3, 50 + i)) for i in range(2)]
    silent = Player(BAD, lie, answers=never, claims=False, honest=False)
    played = play(*crowd, truth(), silent, accused=lie.tree.root)
    assert not played.court.cases[played.case].is_contested
    assert game.ruling(played.court, played.case).root == RIGHT_ROOT


def test_there_is_an_end_to_the_numbers_of_claims(monkeypatch):
    monkeypatch.setattr(game, "MAX_CLAIMS", 1)
    opening = RIGHT, RIGHT, WORK.depth, 5
    court, reason = game.open_for(NEW, GOOD, *opening, bytes(32), RIGHT)
    assert reason == Reason.OK
    assert game.open_for(court, GOOD, *opening, RIGHT, RIGHT) == (court, Reason.TOO_LATE)
    tree, salt = honest().tree, bytes(32)
    nodes = (*tree.children(tree.depth, 0), RIGHT, tree.proof(0), tree.proof(15), salt)
    court, _ = game.open_case(court, tree.leaves[0], RIGHT, WORK.depth, 5, salt)
    case = list(court.cases)[-1]
    court, _ = game.commit(court, game.promise(case, tree.root, game.address(GOOD), salt))
    court = game.wait(court, 1)
    assert game.claim(court, GOOD, case, *nodes, TERMS.bond) == (court, Reason.TOO_LATE)


def test_one_honest_party_keeps_the_truth_standing_against_any_number():
    """Every claim is answered, and pays for it."""
    crowd = [Player(100 + i, lying(i % 8, 60 + i), honest=False) for i in range(12)]
    played = play(*crowd, Player(GOOD, honest(), claims=False), accused=RIGHT_ROOT)
    ruling = game.ruling(played.court, played.case)
    assert ruling.root == RIGHT_ROOT and not ruling.is_proven and ruling.owner == game.NOBODY
    assert paid(played, GOOD) > 12 * TERMS.fee and played.blocks <= TERMS.window + 3
    silent = play(*crowd, accused=RIGHT_ROOT)  # nobody answers for it
    assert game.ruling(silent.court, silent.case).root != RIGHT_ROOT


def test_what_is_not_shown_at_the_last_step_counts_against_the_claim():
    """A claim that invents its checkpoints up to there cannot be judged by anybody else."""
    made_up = Player(BAD, hollow(lying(3), 1), honest=False)
    played = play(made_up, Player(GOOD, honest(), claims=False, honest=False), accused=RIGHT_ROOT)
    assert game.ruling(played.court, played.case).root == RIGHT_ROOT


def test_who_is_right_but_poor_finds_a_backer_and_earns_by_answering():
    court, _ = game.open_case(NEW, RIGHT, RIGHT, WORK.depth, 5, bytes(32))
    poor = Player(GOOD, honest(), claims=False)
    backer = Player(8, honest(), answers=never, honest=False)
    alone = play(liar(), poor)
    assert alone.result != RIGHT  # nobody posts a bond, nobody is heard
    played = play(liar(), backer, poor)
    assert played.result == RIGHT
    assert paid(played, GOOD) == played.answers * TERMS.fee > 0 and paid(played, 8) > 0
    assert court.balances == {}


def test_a_claim_without_its_bond_is_refused():
    tree, salt = honest().tree, bytes(32)
    court, _ = game.open_case(NEW, tree.leaves[0], RIGHT, WORK.depth, 5, salt)
    (case,) = court.cases
    court, _ = game.commit(court, game.promise(case, tree.root, game.address(GOOD), salt))
    court = game.wait(court, 1)
    nodes = (*tree.children(tree.depth, 0), RIGHT, tree.proof(0), tree.proof(15), salt)
    for value in (0, TERMS.bond - 1, TERMS.bond + 1):
        made = game.claim(court, GOOD, case, *nodes, value)
        assert made == (court, Reason.NOT_ENOUGH_MONEY)
    # who has seen the message cannot be first with it: it has not committed
    assert game.claim(court, BAD, case, *nodes, TERMS.bond) == (court, Reason.TOO_EARLY)
    assert game.claim(court, GOOD, case, *nodes, TERMS.bond)[1] == Reason.OK


def test_who_copies_an_answer_earns_its_fee_and_helps():
    copier = Player(9, honest(), claims=False)
    played = play(liar(), copier, truth())
    assert played.result == RIGHT and paid(played, 9) > 0
    assert paid(played, GOOD) > 0.4 * TERMS.bond  # the prize, which fees are not taken from twice
    assert paid(played, BAD) < -0.9 * TERMS.bond


def test_challenger_and_liar_who_are_one_lose_what_is_burned():
    for prize_bps in (0, 5_000, 9_000):
        terms = TERMS._replace(prize_bps=prize_bps)
        friend = Player(3, honest(), honest=True)
        played = play(liar(), friend, terms=terms)
        together = played.court.balances.get(3, 0) + played.court.balances.get(BAD, 0)
        assert 2 * terms.bond - together == played.court.burned
        assert played.court.burned >= (10_000 - prize_bps) * (terms.bond - 10 * terms.fee) // 10_000
    assert played.court.burned > 0


@pytest.mark.parametrize("arrives", [1, TERMS.budget + 20])
def test_nobody_can_use_up_the_truth_by_deserting_it(arrives):
    """A liar claims the truth itself and lets it time out against its lie."""
    terms = TERMS._replace(window=3 * TERMS.budget)
    deserter = Player(5, honest(), answers=never, honest=False)
    played = play(liar(answers=never), deserter, truth(since=arrives), terms=terms)
    assert played.result == RIGHT
    assert played.court.claims[played.winner - 1].owner == (5 if arrives == 1 else GOOD)


def test_two_lies_that_agree_up_to_a_place_that_nobody_knows_lose_both():
    """They share an invented checkpoint, so nobody can show the witness of the next step."""
    one, other = (hollow(lying(3, n), n) for n in (1, 2))
    played = play(Player(5, one, honest=False), Player(6, other, honest=False), truth())
    assert played.result == RIGHT
    alone = play(Player(5, one, honest=False), Player(6, other, honest=False))
    assert alone.court.burned > 0


def test_terms_under_which_messages_could_not_be_paid_are_refused():
    game.check_terms(TERMS)
    bad = ({"fee": 150}, {"fee": 0}, {"prize_bps": 10_001}, {"window": -1}, {"window": 1},
           {"judging": 0})  # fmt: skip
    for change in bad:
        with pytest.raises(ValueError, match=r"bond must pay|may be negative|a window has"):
            game.check_terms(TERMS._replace(**change))
    short = game.Court(TERMS._replace(budget=WORK.depth // 2 - 1))
    opening = RIGHT, RIGHT, WORK.depth, 5, bytes(32)
    assert game.open_case(short, *opening) == (short, Reason.BAD_VALUE)
    assert game.open_for(short, GOOD, *opening, RIGHT) == (short, Reason.BAD_VALUE)


def test_a_case_that_is_closed_stays_so():
    played = play(liar(), truth())
    court = played.court
    assert game.close(court, played.case) == (court, Reason.WRONG_PHASE)
    out, reason = game.pay_out(court, GOOD)
    assert reason == Reason.OK and out.held == court.held - court.balances[GOOD]
    assert game.pay_out(out, GOOD) == (out, Reason.NOT_ENOUGH_MONEY)
    won = court.claims[played.winner - 1]
    assert pair(won.left, won.right) == honest().tree.root
