"""The court's contract does what the pure game does, within the limit on code, at a known price."""

import re

import jax
import pytest

from contracts.compiler import compile_text
from contracts.court import SOURCE, CourtContract, numbers
from contracts.evm import Evm
from d2m_jax.court import game
from d2m_jax.court.steps import MAX_READS, ONE, Memory, Op, Step, Witness, Work, run
from d2m_jax.court.tournament import hold_trial
from d2m_jax.court.tree import Tree
from d2m_jax.ledger import Reason
from tests.contracts.court import court_artifact, new_court
from tests.court.worlds import Contest, Trace

pytestmark = pytest.mark.slow

EIP_170 = 24_576
TRACES, ACTIONS = 24, 80
A, B = 1_011, 1_012


def play(seeds, make=new_court):
    seen = set()
    for is_judged in (False, True):
        Contest(len(seeds), make).play_on(is_judged)
    for seed in seeds:
        trace = Trace(seed, make)
        for _ in range(ACTIONS):
            trace.step()
        seen |= {(name, reason.name) for name, reason in trace.seen}
    return seen


def test_random_games_are_the_same_in_all_three():
    seen = play(range(TRACES))
    reached = {name for name, reason in seen if reason == "OK"}
    assert reached == {"open_case", "open_for", "commit", "claim", "play", "judge", "time_out",
                       "close", "pay_out"}  # fmt: skip
    assert len({pair for pair in seen if pair[1] != "OK"}) >= 15


MUTANTS = {
    "no proof of the start": ("assert self._fold(case.start, 0, first) == root", "assert True"),
    "no proof of the result": (
        "assert self._fold(result, (1 << case.depth) - 1, last) == root", "assert True"),
    "clocks stand still": ("duel.clock_a -= spent", "duel.clock_a -= 0"),
    "the right half first": ("goes_right: bool = left == duel.left",
                             "goes_right: bool = right != duel.right"),
    "any checkpoint": (
        "assert root == self._root(duel.a) or root == self._root(duel.b)", "assert True"),
    "any step": ("assert self._fold(digest, at, step_proof) == case.program", "assert True"),
    "any witness": ("assert node == checkpoint", "assert True"),
    "side A is always right": ("duel.left == right, duel.right == right", "True, False"),
    "winner takes all": ("pot * T.prize_bps // BPS", "pot"),
    "bonds are not filled up": ("min(T.bond - (purse >> 160), pot)", "0"),
    "the truth is used up": ("self._root(number)))] = False", "self._root(number)))] = True"),
    "copies allowed": ("since != 0 and since < block.number", "since != 0"),
    "who waits meets what stands by right": (
        "    if case.standing != 0:\n",
        "    if case.standing != 0 and case.waiting == 0:\n",
    ),
    "who answers for what stands by right is not paid": (
        "duel.a if turn == 0 or self._is_nobodys(duel.b) else duel.b",
        "duel.a if turn == 0 else duel.b",
    ),
    "what nobody shows counts against what stands by right": (
        "b_stays = self._is_nobodys(duel.b)", "b_stays = False"),
    "the pool says nothing about what stands by right": (
        "right = duel.right\n", "right = duel.left\n"),
    "silence proves a lie": ("b_stays, SILENT)", "b_stays, WRONG)"),
    "what has fallen wins": ("if case.fallen == 0 and case.standing != 0", "if case.standing != 0"),
    "what is left of a contested case wins": ("case.contested == 1", "False"),
    "two that a step judged wrong contest a case": (
        "if how == SILENT and not a_stays", "if not is_accused and not a_stays"),
    "the first leaf is not the start": (
        "duel.left == case.start, duel.right == case.start",
        "duel.left == case.start, True",
    ),
    "closes early": ("block.number - case.since > T.window", "block.number >= case.since"),
}  # fmt: skip


@pytest.mark.few(8, rest="long")
@pytest.mark.parametrize("name", MUTANTS)
def test_a_contract_with_a_fault_is_caught(name):
    old, new = MUTANTS[name]
    text = SOURCE.read_text()
    assert text.count(old) == 1
    broken = compile_text(text.replace(old, new))
    make = lambda terms: new_court(terms, broken)
    with pytest.raises((AssertionError, ValueError)):
        play(range(40), make)


def test_the_code_fits():
    code = new_court(game.Terms())
    assert len(code.evm.state.get_code(code.address)) < EIP_170 - 7_000


def test_there_is_an_end_to_the_numbers_of_claims():
    """A case has 29 bits for the number of the claim that stands by right."""
    court, opening = new_court(game.Terms()), (bytes([1]) * 32, bytes([2]) * 32, 3, 5)
    slot = court.artifact.slots["claims_made"]
    court.evm.state.set_storage(court.address, slot, game.MAX_CLAIMS - 1)
    root = bytes([3]) * 32
    assert court.call(A, "open_for", *opening, bytes(32), root) == Reason.OK
    name = game.case_for(*opening, bytes(32), root, A)
    assert court._case(name).standing == game.MAX_CLAIMS and not court._case(name).is_contested
    assert court.call(A, "open_for", *opening, root, root) == Reason.TOO_LATE


def test_nobody_has_a_role():
    """msg.sender is whose commitment, money or message it is, and is compared with nobody."""
    text = SOURCE.read_text()
    uses = [line.strip() for line in text.splitlines() if "msg.sender" in line]
    assert uses and not [line for line in uses if re.search("assert|if |==|!=", line)], uses


@pytest.mark.parametrize(
    "terms",
    [
        {"fee": 150},
        {"fee": 0},
        {"prize_bps": 10_001},
        {"budget": 2**31},
        {"window": 1},
        {"judging": 0},
    ],
)
def test_terms_that_make_no_sense_are_refused(terms):
    with pytest.raises(ValueError, match="BAD_VALUE"):
        CourtContract(court_artifact(), game.Terms()._replace(**terms))


class Table:
    """Two claims about some work on a contract, and what each message cost."""

    def __init__(self, work, lie):
        self.right, self.wrong = run(work), run(work, lie)
        self.work, self.gas = work, {}
        self.contract = CourtContract(court_artifact(), game.Terms(), Evm())
        memory = Memory(work.start).tree
        opening = (memory.root, work.program_tree.root, work.depth, memory.depth, bytes(32))
        self.case = game.case_id(*opening)
        self.do("open_case", A, *opening)
        for actor, ran in ((A, self.right), (B, self.wrong)):
            self.claim(actor, ran.tree)

    def do(self, name, actor, *args, expect=Reason.OK, **value):
        call = getattr(self.contract, name, None)
        if name in ("claim", "judge"):
            got = call(actor, *args, **value)
        else:
            got = self.contract.call(actor, name, *args)
        assert got == expect, (name, got)
        self.gas.setdefault(name, []).append(self.contract.last.gas)

    def claim(self, actor, tree):
        salt, last = b"\7" * 32, len(tree.leaves) - 1
        self.do("commit", actor, game.promise(self.case, tree.root, game.address(actor), salt))
        self.contract.wait(1)
        nodes = tree.children(tree.depth, 0)
        self.do("claim", actor, self.case, *nodes, tree.leaves[last], tree.proof(0),
                tree.proof(last), salt, self.contract.terms.bond)  # fmt: skip

    def bisect(self):
        for height in range(self.work.depth, 0, -1):
            duel = self.contract._duel(1)
            tree = (self.right, self.wrong)[duel.turn].tree
            nodes = [*tree.children(height, duel.place), bytes(32), bytes(32)]
            if height > 1:
                at = 2 * duel.place + (nodes[0] == duel.left)
                nodes[2:] = tree.children(height - 1, at)
            self.do("play", (A, B)[duel.turn], 1, *nodes)
        return self.contract._duel(1).place - 1

    def judge(self, at, memory, expect=Reason.OK):
        step, tree = self.work.steps[at], self.right.tree
        witness = memory.witness(step) if step.op != Op.HALT else Witness([], [])
        proof = self.work.program_tree.proof(at)
        self.do("judge", A, 1, tree.leaves[at], tree.proof(at), step, proof, witness, expect=expect)


def large(op, **numbers):
    """Work of 1,000 steps over a memory of 2^12 words, all of one kind."""
    rows = range(1_000)
    start = tuple((37 * i) % 1_000 - 500 for i in range(4_096))
    return Work(start, tuple(Step(op, into=3_000 + i, start=i, **numbers) for i in rows))


@pytest.mark.parametrize(
    ("step", "most"),
    [
        ({"op": Op.TRIMMED_MEAN, "stride": 100, "size": 10, "a": 2}, 400_000),
        ({"op": Op.AXPY, "size": 1, "a": ONE, "b": -6_554}, 230_000),
        ({"op": Op.COUNT, "size": 8, "start2": 2_000, "size2": 8}, 500_000),
        ({"op": Op.DRAW, "size": 20, "start2": 3_900, "size2": 3}, 650_000),
    ],
)
def test_what_a_dispute_over_a_thousand_steps_costs(step, most):
    work = large(**step)
    table = Table(work, {617: 12_345})
    assert table.bisect() == 617
    memory = Memory(work.start)
    for one in work.steps[:617]:
        memory.take(one)
    table.judge(617, memory)
    assert table.contract._duel(1).stage == game.OVER
    assert len(table.gas["play"]) == 10 and max(table.gas["play"]) < 80_000
    assert max(table.gas["claim"]) < 400_000
    assert 0.5 * most < table.gas["judge"][0] < most, table.gas
    table.contract.wait(51)
    table.do("close", B, table.case)
    if step["op"] == Op.TRIMMED_MEAN:  # what the simulator counts
        numbers = {"censorship": 0.0, "window": 50, "budget": 40, "judging": 60}
        trial = hold_trial(jax.random.key(0), sybils=1, steps=1_000, **numbers)
        spent = sum(map(sum, table.gas.values()))
        assert float(trial.gas) == pytest.approx(spent, rel=0.05)
        assert int(trial.messages) == sum(map(len, table.gas.values()))
    winner = table.contract._case(table.case).winner
    assert winner == 1 and table.contract._claim(1).result == table.right.tree.leaves[-1]
    table.do("pay_out", A)


def test_the_largest_step_fits_into_a_block():
    n = MAX_READS
    start = tuple((7919 * i) % 4_001 - 2_000 for i in range(2**12))
    worst = tuple(sorted(start[:n], reverse=True)) + start[n:]  # for the sort
    work = Work(worst, (Step(Op.TRIMMED_MEAN, 4_000, size=n, a=n // 4),))
    table = Table(work, {0: 9})
    assert table.bisect() == 0
    table.judge(0, Memory(worst))
    assert 1_700_000 < table.gas["judge"][0] < 2_100_000


def test_a_refusal_changes_nothing_and_ether_comes_out_once():
    table = Table(large(Op.AXPY, size=1, a=ONE, b=1), {3: 5})
    before = table.contract.state([table.case], [A, B], [])
    table.do("play", A, 1, *[bytes(32)] * 4, expect=Reason.BAD_VALUE)
    table.do("time_out", A, 1, expect=Reason.TOO_EARLY)
    table.do("close", A, table.case, expect=Reason.WRONG_PHASE)
    assert table.contract.state([table.case], [A, B], []) == before
    table.contract.wait(41)
    table.do("time_out", A, 1)
    owed = table.contract.state([], [A], []).balances[A]
    held = table.contract.state([], [], []).held
    table.do("pay_out", A)
    table.do("pay_out", A, expect=Reason.NOT_ENOUGH_MONEY)
    assert table.contract.state([], [], []).held == held - owed


def test_steps_and_words_go_through_the_abi_unchanged():
    step = Step(Op.AXPY, a=-3, b=4, seed=bytes(range(32)))
    assert numbers(step, [b"\0" * 31 + b"\5"], 7)[:10] == [4, 0, 0, 1, 0, 0, 1, 0, -3, 4]
    assert Tree([bytes(32)] * 2).depth == 1
