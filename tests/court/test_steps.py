"""Steps that are exact in whole numbers, their trees, and the slow model of both."""

import random

import pytest

from d2m_jax.court.game import next_checkpoint
from d2m_jax.court.steps import MAX_READS, MOST, ONE, Memory, Op, Step, compute, memories
from d2m_jax.court.tree import Tree, fold, word
from tests.court.model import after
from tests.court.worlds import SEED, WORK, honest, lying


def random_step(draw):
    op = draw.choice([Op.DRAW, Op.SUM, Op.TRIMMED_MEAN, Op.AXPY, Op.COUNT])
    count = 1 if op == Op.AXPY else draw.randrange(1, 9)
    size2 = count if op == Op.COUNT else draw.randrange(3) if op == Op.DRAW else 0
    a = draw.randrange(-ONE, ONE)
    if op == Op.TRIMMED_MEAN:
        a = draw.randrange((count - 1) // 2 + 1)
    return Step(
        op, draw.randrange(32), draw.randrange(4), draw.randrange(1, 3), count,
        draw.randrange(20, 24), 1, size2, a, draw.randrange(-ONE, ONE), draw.randbytes(32),
    )  # fmt: skip


def random_words(draw):
    size = draw.choice([3, 100, MOST])
    return [draw.randint(0 if size == 100 else -size, size) for _ in range(32)]


def test_every_exact_step_is_what_the_slow_model_says_and_its_witness_shows_it():
    draw, seen = random.Random(1), set()
    for _ in range(400):
        step, values = random_step(draw), random_words(draw)
        if step.op == Op.DRAW:  # the slow model sells a ticket per unit of mass
            values = [abs(value) % 50 for value in values]
        memory = Memory(values)
        before, witness = memory.tree.root, memory.witness(step)
        memory.take(step)
        assert tuple(memory.values) == after(step, values)
        assert next_checkpoint(before, step, witness, 5) == memory.tree.root
        assert Memory(memory.values).tree.root == memory.tree.root
        seen.add(step.op)
    assert len(seen) == 5


def test_the_median_is_a_trimmed_mean_and_halves_are_rounded_up():
    step = Step(Op.TRIMMED_MEAN, 9, size=5, a=2)
    assert compute(step, [9, -4, 7, 1, 3, 0]) == 3
    even = step._replace(size=4, a=1)
    assert compute(even, [9, -4, 2, 1, 0]) == 2 and compute(even, [-9, 4, -2, -1, 0]) == -1
    assert compute(Step(Op.SUM, 9, size=2), [MOST, 1, 0]) == MOST


def test_a_draw_follows_the_masses():
    masses, counts = [10, 0, 30, 60], [0] * 4
    for number in range(2_000):
        step = Step(Op.DRAW, 5, size=4, a=number, seed=SEED)
        counts[compute(step, [*masses, 0])] += 1
    assert counts[1] == 0
    for count, mass in zip(counts, masses):
        assert abs(count - 20 * mass) < 5 * (2_000 * mass / 100 * (1 - mass / 100)) ** 0.5 + 1
    nobody = Step(Op.DRAW, 5, size=4, start2=8, size2=4, seed=SEED)
    assert compute(nobody, [*masses, 0, 1, 2, 3, 0]) == -1


@pytest.mark.parametrize(
    "change",
    [{"size": MAX_READS + 1}, {"a": 2**41}, {"start": -1}, {"into": 2**33}, {"a": 3}, {"op": 9}],
)
def test_a_step_that_makes_no_sense_leads_nowhere(change):
    step = Step(Op.TRIMMED_MEAN, 9, size=5, a=1)
    memory = Memory(range(32))
    witness = memory.witness(step)
    assert next_checkpoint(memory.tree.root, step, witness, 5) is not None
    assert next_checkpoint(memory.tree.root, step._replace(**change), witness, 5) is None


def test_a_tree_folds_back_to_its_root_from_every_leaf():
    tree = Tree([word(i) for i in range(16)])
    for i in range(16):
        assert fold(word(i), i, tree.proof(i)) == tree.root
        assert fold(word(i), i ^ 1, tree.proof(i)) != tree.root
    with pytest.raises(ValueError, match="not 3"):
        Tree([word(0)] * 3)


def test_runs_part_at_the_first_lie_and_never_before():
    right = honest().tree.leaves
    for at in range(len(WORK.steps)):
        wrong = lying(at).tree.leaves
        assert [a == b for a, b in zip(right, wrong)].index(False) == at + 1
    assert len(right) == 2**WORK.depth == 16 and right[-1] == right[len(WORK.program)]
    assert len(list(memories(WORK, honest().given))) == 16
