"""Attacks on the vote, each against contract, functional votes and slow model at once."""

import dataclasses
import itertools

import pytest

from contracts.market import address_of, reason_text
from contracts.votes import JOB_SEED, drawn_lots, hashed, seed_of, stirred, word_of
from d2m_jax.core.outcomes import Outcome
from d2m_jax.ledger.codes import Reason as R
from d2m_jax.ledger.votes_state import Stage
from tests.contracts.test_votes_conformance import told
from tests.contracts.votes_both import EASY, AllThree
from tests.ledger.vote_traces import NODES, ROUNDS

pytestmark = pytest.mark.slow

RIGHT, FALSE = 11, 66
STAKES = [100] * NODES
LARGER = dataclasses.replace(EASY, base=4)  # five seats; a lead of three decides


def voting(how=EASY, job=0, serial=1, stakes=STAKES, unit=0):
    """A unit whose first set is drawn."""
    both = AllThree(how)
    return drawn(both, job, serial, stakes, unit)


def drawn(both, job=0, serial=1, stakes=STAKES, unit=0):
    both("OPEN_UNIT", job=job, amount=serial, value=unit, payload=stakes)
    return both("DRAW", job=job)


def seated(both, job=0):
    """The nodes that vote with the latest set."""
    return sorted(both.model.slots[job].newcomers())


def salt_of(node):
    return 1_000 + node


def commit(both, node, digest=RIGHT, job=0, expect=R.OK, salt=None):
    salt = salt_of(node) if salt is None else salt
    promise = both.model.promise_of(job, node, digest, salt)
    both("COMMIT_VOTE", expect, node=node, job=job, value=promise)
    return promise


def reveal(both, node, digest=RIGHT, job=0, expect=R.OK, salt=None):
    salt = salt_of(node) if salt is None else salt
    both("REVEAL_VOTE", expect, node=node, job=job, value=digest, salt=salt)


def hold(both, digest_of=lambda node: RIGHT, job=0, silent=(), tally=True):
    """A whole set votes; who is silent commits and does not reveal."""
    nodes = seated(both, job)
    for node in nodes:
        commit(both, node, digest_of(node), job)
    both("WAIT", amount=both.how.commit_window)
    for node in nodes:
        if node not in silent:
            reveal(both, node, digest_of(node), job)
    if set(silent) & set(nodes):
        both("WAIT", amount=both.how.reveal_window)
    return both("TALLY", job=job) if tally else both


def outcomes(both, job=0):
    found = both.model.outcomes(job)
    assert told(both.chain, job) == found
    return found


# Votes of others


def test_a_copied_commitment_opens_to_nothing():
    """The copier knows neither digest nor salt; when it does, what it committed is another's."""
    both = voting(LARGER)
    honest, copier, *rest = seated(both)
    promise = commit(both, honest)
    both("COMMIT_VOTE", node=copier, value=promise)
    for node in rest:
        commit(both, node)
    both("WAIT", amount=2)
    reveal(both, honest)
    reveal(both, copier, salt=salt_of(honest), expect=R.BAD_VALUE)
    reveal(both, copier, expect=R.BAD_VALUE)
    for node in rest:
        reveal(both, node)
    both("TALLY", R.TOO_EARLY)("WAIT", amount=2)("TALLY")
    assert outcomes(both)[copier] == Outcome.SILENT


def test_nobody_reveals_for_somebody_else():
    both = voting()
    one, other = seated(both)[:2]
    commit(both, one)
    both("WAIT", amount=2)
    for node in (other, next(n for n in range(NODES) if n not in seated(both))):
        reason = R.BAD_VALUE if node == other else R.NOT_AUTHORISED
        reveal(both, node, salt=salt_of(one), expect=reason)
    reveal(both, NODES, salt=salt_of(one), expect=R.UNKNOWN_PARTY)  # nor does a stranger
    reveal(both, one)


def test_a_vote_is_cast_once_and_not_changed():
    both = voting()
    one = seated(both)[0]
    commit(both, one)
    commit(both, one, FALSE, expect=R.ALREADY_DONE)  # it saw what others committed
    both("WAIT", amount=2)
    reveal(both, one, FALSE, expect=R.BAD_VALUE)
    reveal(both, one)
    reveal(both, one, expect=R.ALREADY_DONE)
    reveal(both, one, FALSE, expect=R.ALREADY_DONE)


def test_nobody_commits_after_the_first_reveal_can_have_been_seen():
    both = voting()
    early, late = seated(both)[:2]
    commit(both, early)
    reveal(both, early, expect=R.TOO_EARLY)  # all have committed that want to: still too early
    both("WAIT", amount=1)
    reveal(both, early, expect=R.TOO_EARLY)
    both("WAIT", amount=1)
    commit(both, late, expect=R.TOO_LATE)
    reveal(both, early)
    commit(both, late, expect=R.TOO_LATE)
    reveal(both, late, expect=R.BAD_VALUE)


def test_a_seat_is_needed_and_one_of_this_set():
    both = voting()
    first = seated(both)
    for node in set(range(NODES)) - set(first):
        commit(both, node, expect=R.NOT_AUTHORISED)
    hold(both, lambda node: FALSE if node == first[0] else RIGHT)
    both("DRAW")
    commit(both, first[0], expect=R.NOT_AUTHORISED)  # it has voted
    commit(both, seated(both)[0])


# Time


@pytest.mark.parametrize("window", [1, 2])
def test_with_one_block_for_commitments_who_draws_last_in_a_block_votes_alone(window):
    """It draws and commits in one transaction; all others see the draw when it is too late."""
    both = AllThree(dataclasses.replace(EASY, commit_window=window))
    both("OPEN_UNIT", amount=1, payload=STAKES)
    ours = None
    while both.model.slots[0].stage == Stage.OPEN:
        both("DRAW")
        nodes = seated(both)
        ours = nodes[0] if ours is None else ours
        if ours in nodes:
            commit(both, ours, FALSE)
        both("WAIT", amount=1)
        for node in nodes:
            if node != ours:
                commit(both, node, expect=R.OK if window > 1 else R.TOO_LATE)
        both("WAIT", amount=window - 1)
        for node in nodes:
            if node == ours or window > 1:
                reveal(both, node, FALSE if node == ours else RIGHT)
        both("WAIT", amount=both.how.reveal_window)("TALLY")
    accepted = both.chain.state()["accepted"][0]
    assert accepted == (RIGHT if window > 1 else FALSE)


def test_stalling_the_count_costs_two_windows_and_the_staller_its_stake():
    both = voting(LARGER)
    nodes = seated(both)
    hold(both, silent=nodes[:1], tally=False)
    assert both.chain.block == 4  # the count waited for both windows
    reveal(both, nodes[0], expect=R.TOO_LATE)  # even though nobody has counted yet
    both("TALLY")
    assert outcomes(both)[nodes[0]] == Outcome.SILENT


def test_when_all_have_revealed_the_count_waits_for_nobody():
    both = voting()
    hold(both)
    assert both.chain.block == 2 and both.model.slots[0].stage == Stage.DECIDED
    both("TALLY", R.ALREADY_DONE)("DRAW", R.ALREADY_DONE)


def test_a_draw_comes_neither_twice_nor_before_the_count_and_not_by_another_block():
    """Who draws, and when, changes nobody's seat: there is nothing to try again for."""
    seats = []
    for blocks in (0, 1, 7):
        both = AllThree()
        both("OPEN_UNIT", amount=1, payload=STAKES)("WAIT", amount=blocks)("DRAW")
        both("DRAW", R.WRONG_PHASE)
        both("OPEN_UNIT", R.ALREADY_DONE, amount=1, payload=STAKES)
        hold(both, lambda node: node + 1)("WAIT", amount=blocks)("DRAW")
        seats.append(both.model.slots[0].sets)
    assert seats[0] == seats[1] == seats[2] and len(seats[0]) == 2


# Chance


def test_the_last_revealer_chooses_among_as_many_seeds_as_it_pays_for():
    """k of a set wait for the others: 2^k next seeds, one free, each other a silent stake or more.

    By whatever order they reveal: it is no matter.
    """
    waiting = 2
    seeds, silent_of = {}, {}
    for withheld in itertools.product((0, 1), repeat=waiting):
        both = voting(LARGER)
        nodes = seated(both)
        silent = [node for node, hides in zip(nodes, withheld) if hides]
        hold(both, silent=silent)
        assert both.model.slots[0].stage == Stage.DECIDED
        mixed = bytes(32)
        for node in nodes:
            if node not in silent:
                mixed = stirred(mixed, node, word_of(salt_of(node)))
        assert both.chain.mixed(0) == mixed
        both("OPEN_UNIT", amount=2, value=1, payload=STAKES)
        seed = seed_of(both.chain.address, 0, 2, JOB_SEED, mixed)
        assert both.chain.seed(0) == seed
        seeds[withheld], silent_of[withheld] = seed, len(silent)
    assert len(set(seeds.values())) == 2**waiting
    assert [silent_of[w] for w in seeds] == [0, 1, 1, 2]  # what each of them costs
    # known before the choice is made, by who waits: so it picks the best of 2^k draws
    seats = {w: tuple(drawn_lots(seed, 1, [1] * NODES, 4)) for w, seed in seeds.items()}
    assert len(set(seats.values())) > 1


def test_the_order_of_reveals_changes_no_seed():
    ends = set()
    for order in itertools.permutations(range(3)):
        both = voting()
        nodes = seated(both)
        for node in nodes:
            commit(both, node)
        both("WAIT", amount=2)
        for i in order:
            reveal(both, nodes[i])
        ends.add(both.chain.mixed(0))
    assert len(ends) == 1


def test_who_has_no_seat_and_who_only_commits_changes_no_seed():
    both = voting()
    before = both.chain.mixed(0)
    for node in seated(both):
        commit(both, node)
    both("WAIT", amount=4)("TALLY")
    assert both.chain.mixed(0) == before and both.model.slots[0].stage == Stage.OPEN


# Replay


def test_a_vote_of_another_job_unit_set_or_contract_fits_nowhere_else():
    both = voting()
    drawn(both, job=1)
    node = next(n for n in seated(both) if n in seated(both, 1))
    promise = commit(both, node)
    both("COMMIT_VOTE", node=node, job=1, value=promise)
    both("WAIT", amount=2)
    reveal(both, node)
    reveal(both, node, job=1, expect=R.BAD_VALUE)
    # the same job, the unit after it, and the same number of a unit in a later job
    for serial, unit in ((5, 1), (9, 0)):
        drawn(both, serial=serial, unit=unit)
        old = [n for n in seated(both) if n == node]
        for again in old:
            both("COMMIT_VOTE", node=again, value=promise)
            both("WAIT", amount=2)
            reveal(both, again, expect=R.BAD_VALUE)
    elsewhere = seed_of(b"another contract".rjust(20), 0, 1, JOB_SEED, bytes(32))
    assert hashed(elsewhere, 1, node, RIGHT, 1) != hashed(both.chain.seed(0), 1, node, RIGHT, 1)


def test_nothing_of_an_old_unit_is_left_in_the_new_one():
    both = voting()
    hold(both, lambda node: FALSE)
    assert both.model.slots[0].accepted == FALSE
    drawn(both, serial=2)
    hold(both, lambda node: FALSE if node == seated(both)[0] else RIGHT)
    assert both.model.slots[0].stage == Stage.OPEN  # 2 : 1, the votes of before do not count
    row = both.chain.state()
    assert sum(x > 0 for x in row["lots"][0]) == 3 and row["accepted"][0] == 0


# Digests


@pytest.mark.parametrize("rule", ["lead", "hypergeometric", "miracle", "majority_last"])
def test_a_digest_for_every_node_decides_nothing_and_costs_the_liars(rule):
    """Votes for many digests: more rivals, a larger lead, and in the end a tie."""
    both = AllThree(dataclasses.replace(EASY, rule=rule, base=1))
    both("OPEN_UNIT", amount=1, payload=STAKES)
    while both.model.slots[0].stage == Stage.OPEN:
        hold(both("DRAW"), lambda node: 100 + node)
    assert both.model.slots[0].stage == Stage.FAILED
    assert outcomes(both) == [Outcome.NOT_DRAWN] * NODES  # nobody is right, so nobody is wrong


def test_many_digests_beside_the_right_one_only_put_the_end_off():
    both = AllThree(dataclasses.replace(EASY, base=1))
    both("OPEN_UNIT", amount=1, payload=STAKES)
    while both.model.slots[0].stage == Stage.OPEN:
        hold(both("DRAW"), lambda node: RIGHT if node > 1 else 100 + node)
    assert both.model.slots[0].accepted == RIGHT and len(both.model.slots[0].sets) > 1
    assert outcomes(both)[:2] == [Outcome.WRONG, Outcome.WRONG]


def test_a_tie_when_all_have_voted_is_no_result():
    both = AllThree(dataclasses.replace(EASY, base=6))
    both("OPEN_UNIT", amount=1, payload=[100] * 6 + [0])
    hold(both("DRAW"), lambda node: RIGHT if node < 3 else FALSE)
    assert both.model.slots[0].stage == Stage.FAILED
    both("TALLY", R.ALREADY_DONE)("OPEN_CONTENT", R.WRONG_PHASE)


def test_without_anybody_or_with_an_empty_set_nothing_hangs():
    both = AllThree()
    both("OPEN_UNIT", amount=1, payload=[0] * NODES)
    assert both.model.slots[0].stage == Stage.FAILED
    assert outcomes(both) == [Outcome.NOT_DRAWN] * NODES
    rare = dataclasses.replace(EASY, schedule="independent", q=0.02)
    both = AllThree(rare)
    both("OPEN_UNIT", amount=1, payload=STAKES)
    empty = 0
    while both.model.slots[0].stage == Stage.OPEN:
        both("DRAW")
        if not seated(both):
            empty += 1
            both("TALLY")  # at once
        else:
            hold(both)
    assert empty >= 3


# Who comes and goes


@pytest.mark.parametrize("by_stake", [False, True])
def test_who_leaves_or_is_slashed_meanwhile_keeps_its_seats_and_gets_no_others(by_stake):
    """The electorate is what it was when the unit was opened; what the market holds comes later."""
    how = dataclasses.replace(EASY, by_stake=by_stake, base=100 if by_stake else 2)
    both = AllThree(how)
    both("OPEN_UNIT", amount=1, payload=STAKES)
    urn = both.chain.state()["urn"][0]
    both.chain.tell_market("pledge", 0, [0])  # all stakes are gone
    both("DRAW")
    hold(both, lambda node: node + 1)
    assert both.model.slots[0].stage == Stage.OPEN
    both("DRAW")
    row = both.chain.state()
    assert [a + b for a, b in zip(row["urn"][0], row["lots"][0])] == urn
    hold(both)
    both("OPEN_UNIT", amount=2, payload=[0] * (NODES - 1) + [5])  # the next unit sees it
    assert both.model.slots[0].pool == (5 if by_stake else 1)


def test_who_may_still_join_when_the_seed_is_known_picks_its_seats():
    """Why the market has to freeze the electorate first: m nodes that stand by are 2^m draws, free.

    The seed of the next unit is known when the last reveal is in; nothing else goes into it.
    """
    seats = set()
    for joined in itertools.product((0, 100), repeat=3):
        both = AllThree(LARGER)("OPEN_UNIT", amount=1, payload=[100] * (NODES - 3) + [*joined])
        both("DRAW")
        seats.add((both.chain.seed(0), tuple(seated(both))))
    assert len({seed for seed, _ in seats}) == 1 and len(seats) > 4


def test_splitting_a_stake_gains_no_lots():
    how = dataclasses.replace(EASY, by_stake=True, base=100)
    one = AllThree(how)("OPEN_UNIT", amount=1, payload=[3_000, 1_000, 1_000])
    lots = one.chain.state()["urn"][0]
    many = AllThree(how)("OPEN_UNIT", amount=1, payload=[1_000, 1_000, 1_000, 1_000, 1_000])
    split = many.chain.state()["urn"][0]
    assert lots[0] >= sum(split[:3]) and lots[1] == split[3]


def test_a_unit_that_the_market_no_longer_asks_for_gives_way():
    """The job was timed out in the middle of a vote; the slot is used again."""
    both = voting()
    commit(both, seated(both)[0])
    both("OPEN_UNIT", R.WRONG_PHASE, amount=0, payload=STAKES)
    drawn(both, serial=2)
    both("WAIT", amount=2)
    for node in seated(both):
        reveal(both, node, expect=R.BAD_VALUE)


def test_a_vote_that_a_dead_job_left_open_chooses_no_seats_of_the_next_job():
    """Nobody is slashed for it any more: k nodes could pick the best of 2^k seeds for nothing."""
    seeds = set()
    for withheld in itertools.product((0, 1), repeat=2):
        both = voting()  # of a job that is timed out; the next one begins while reveals are open
        nodes = seated(both)
        for node in nodes:
            commit(both, node)
        both("WAIT", amount=2)
        for node, hides in zip(nodes, withheld):
            if not hides:
                reveal(both, node)
        both("OPEN_UNIT", amount=2, value=0, payload=STAKES)
        seeds.add(both.chain.seed(0))
    assert len(seeds) == 1


# Nobody special


def test_no_function_looks_for_a_privileged_caller():
    """A stranger opens, draws, counts and tells; only the votes ask who calls, and for a seat."""
    both = AllThree()
    chain, stranger = both.chain, address_of(-77)
    chain.anybody = stranger
    try:
        content = [0, 0, 5, 0, 0, 1, 2, 0, 0, 0, 0]
        digest = both.model.hash(content)
        hold(drawn(both), lambda node: digest)
        both("OPEN_CONTENT", payload=content)("OPEN_CONTENT", R.ALREADY_DONE, payload=content)
    finally:
        chain.anybody = address_of(-5)
    source = chain.artifact.selectors
    writing = {"open_unit", "draw", "commit_vote", "reveal_vote", "tally", "open_content"}
    reading = {"unit", "ballot", "decision", "content_of", "papers_of", "seeds", "mixed"}
    reading |= {"MARKET", "JOBS", "NODES", "SELLERS", "__default__"}
    assert set(source) == writing | reading
    for name in ("commit_vote", "reveal_vote"):
        sent = chain.call(stranger, name, *(0,) * (2 if name == "commit_vote" else 3))
        assert reason_text(sent.output) == "UNKNOWN_PARTY"
    text = chain.call(stranger, "no such function")
    assert reason_text(text.output) == "UNKNOWN_ACTION"


def test_content_is_what_the_digest_says_and_nonsense_is_not_told():
    both = AllThree()
    content, nonsense = [0, 0, 5, 0, 0, 1, 2, 0, 0, 0, 0], [0, 0, 5, 0, 0, 3, 2, 0, 0, 0, 0]
    beyond = [10_001, *content[1:]]  # a metric above one
    for serial, said in ((1, content), (2, nonsense), (5, beyond)):
        digest = both.model.hash(said)
        hold(drawn(both, serial=serial), lambda node, digest=digest: digest)
        both("OPEN_CONTENT", R.BAD_VALUE, payload=[0, 0, 6, 0, 0, 1, 2, 0, 0, 0, 0])
        both("OPEN_CONTENT", R.OK if said is content else R.BAD_VALUE, payload=said)
    final = [9_000, 1_000, 7, 8, 9, 2**15, 0, 3, 1, 0, 1]
    for serial, unit in ((3, ROUNDS), (4, 2 * ROUNDS + 1)):  # verification, and a dispute of it
        digest = both.model.hash(final)
        hold(drawn(both, serial=serial, unit=unit), lambda node, digest=digest: digest)
        both("OPEN_CONTENT", payload=final)
