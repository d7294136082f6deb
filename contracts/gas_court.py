"""What a dispute before the court costs: the market's part of it, and the messages of the case.

The claims are the shortest there are (one step), so that the figures are without what grows with
the case: a level of a claim's tree is one word of calldata and one hash in each of `open_case` and
`book_case`. The case itself is weighed in `tests/contracts/test_court.py`. Read first: `gas.py`.
"""

from contracts.chain import Codes
from contracts.court import CourtContract
from contracts.gas import RULES, Played, Size, Weighed, grid
from contracts.market import COURT, MARKET, address_of, number_of, reason_text, words_of
from contracts.votes import pack
from contracts.work import claim_of, plan_of
from d2m_jax.court import game
from d2m_jax.court.game import promise
from d2m_jax.court.steps import Op, Step, Witness
from d2m_jax.court.tree import Tree, Word
from d2m_jax.ledger import Reason

MODEL = 5  # as in `gas.py`


def measure_case(codes: Codes, size: Size) -> list[Weighed]:
    """Two jobs: in the first a dispute is rejected, in the second a round is overturned.

    The claim that stands there does not begin where it should, and loses at its first checkpoint.

    Args:
        codes: the compiled contracts.
        size: as for `gas.measure_job`.
    """
    world = Played(codes, size, {**RULES, "num_rounds": 1, "bisection": 1})
    world.register()
    for falls in (False, True):
        world.auction()
        world.vote(world.round_content(90))
        world.book("book_round", 0)
        world.vote(world.verification())
        world.book("book_verification", 1)
        world.rows = [row for row in world.rows if "_case" in row.action]
        _dispute(world, falls)
        world.wait(2)
        world.do("settle", 2, 0, called="")
        world.do("reset_job", 2, 0, called="")
        world.job += 1
        world.papers = {}
    return [row for row in world.rows if "_case" in row.action]


def measure_cases(codes: Codes) -> list[Weighed]:
    """`measure_case` in all the markets of the fit."""
    return [row for size in grid() for row in measure_case(codes, size)]


def _dispute(world: Played, falls: bool) -> None:
    """The buyer disputes the round, and claims another work if it is to fall; it is booked."""
    plan = plan_of(MODEL, world.layout.num_sellers)
    court = CourtContract.deployed(world.codes.court, game.Terms(), world.chain.evm, COURT)
    data = world.round_content(90)
    program = number_of(plan.programs)
    fixed = [number_of(plan.start), program, plan.depth, plan.size, plan.height]
    named = None if falls else "open_case (first)"
    world.do("open_case", 0, 0, 0, *fixed, program, [], data, b"", 0, [0], called=named)
    slot = world.chain.artifact.slots["cases"]
    name = world.chain.evm.state.get_storage(MARKET, slot).to_bytes(32, "big")
    tree = claim_of(world.round_words(90), False).tree
    if falls:
        tree = Tree([plan.start, claim_of(world.round_words(0), False).memory.root])
        data = words_of(0, number_of(tree.root), *pack(world.verdicts, 2))
        _win(world, court, name, tree, number_of(address_of(0)))
    world.wait(court.terms.window + 1)
    court.call(number_of(address_of(0)), "close", name)
    assert court.last is not None
    world.weigh(court.last, "close_case" if falls else "close_case (not claimed)")
    last = [number_of(x) for x in tree.proof(1)]
    named = None if falls else "book_case (rejected)"
    world.do("book_case", 2, 0, world.papers[0], data, [], last, called=named)


def _win(world: Played, court: CourtContract, name: Word, tree: Tree, who: int) -> None:
    """A claim beats the one that stands."""

    def must(reason: Reason) -> None:
        assert court.last is not None
        if reason != Reason.OK:
            raise AssertionError(reason_text(court.last.output))

    salt = bytes(32)
    must(court.call(who, "commit", promise(name, tree.root, game.address(who), salt)))
    world.wait(1)
    nodes, ends = tree.children(1, 0), (tree.leaves[1], tree.proof(0), tree.proof(1), salt)
    must(court.claim(who, name, *nodes, *ends, court.terms.bond))
    duel = court.latest
    stands = claim_of(world.round_words(90), False).tree
    must(court.call(who, "play", duel, *stands.leaves, bytes(32), bytes(32)))
    step = Step(Op.HALT)
    must(court.judge(who, duel, bytes(32), [], step, [], Witness([], [])))
