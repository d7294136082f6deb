"""Plans: full configurations, hashes, groups, constraints, refusals."""

import random

import pytest

import d2m_jax
from d2m_jax.sweep import axis, make_plan, product
from d2m_jax.sweep.chunks import first_width, make_chunks, padded
from d2m_jax.sweep.plan import configure
from tests.sweep.small import base, plan, points


def test_one_group_for_all_rules_attacks_numbers_and_seeds():
    (group,) = plan().groups
    assert len(group.runs) == 36 and len(group.rules) == len(group.attacks) == 3
    assert {len(cell) for cell in group.cells.values()} == {4} and len(group.cells) == 9


def test_what_changes_the_program_makes_a_group():
    chosen = product(
        axis("spec.sampler", ["uniform", "osmd"]),
        axis("spec.stop_rule", ["lead", "miracle"]),
        axis("spec.num_sellers", [8, 10]),
        axis("hparams.tau", [0.5, 0.6]),
    )
    groups = plan(chosen).groups
    assert len(groups) == 8 and {len(group.runs) for group in groups} == {2}
    assert len({group.name for group in groups}) == 8


def test_rules_that_remember_sellers_share_no_program_with_the_others():
    rules = axis("spec.aggregator", ["mean", "foolsgold", "krum", "safeguard"])
    names = {tuple(rule.name for rule in group.rules) for group in plan(rules).groups}
    assert names == {("krum", "mean"), ("foolsgold", "safeguard")}


def test_the_name_of_a_group_is_of_its_whole_program():
    """Two groups that differ only in the size of the data keep widths of their own."""
    one, two = plan(axis("data.num_validation", [100, 120])).groups
    assert one.spec == two.spec and one.rules == two.rules and one.attacks == two.attacks
    assert one.name != two.name


@pytest.mark.parametrize("seed", [-1, 2**31, 2**40])
def test_a_seed_out_of_range_is_refused_and_others_are_not(seed):
    made = plan(axis("seed", [seed, 0, 2**31 - 1]))
    assert sorted(run.config.seed for run in made.runs) == [0, 2**31 - 1]
    assert [why for _, why in made.refused] == [f"seed must be from 0 to 2**31 - 1, not {seed}"]


def test_lists_in_points_are_tuples():
    made = plan(axis("spec.pre_aggregators", [["nnm"], []]))
    assert made.axes == {"spec.pre_aggregators": [("nnm",), ()]}
    same = plan(axis("spec.pre_aggregators", [("nnm",), ()]))
    assert [run.key for run in made.runs] == [run.key for run in same.runs]
    assert {run.config.spec.pre_aggregators for run in made.runs} == {("nnm",), ()}


def test_the_order_of_the_points_does_not_matter():
    shuffled = points()
    random.Random(0).shuffle(shuffled)
    one, two = plan(), plan(shuffled)
    assert [run.key for run in one.runs] == [run.key for run in two.runs]
    chunks = [make_chunks(p.groups[0], 3) for p in (one, two)]
    keys = [[[run.key for run in chunk.runs] for chunk in cut] for cut in chunks]
    assert keys[0] == keys[1]


def test_the_key_is_of_the_full_configuration(monkeypatch):
    def key(**spec):
        (run,) = make_plan(base(**spec), [{}]).runs
        return run.key

    first = key(aggregator="krum")
    assert first == key(aggregator="krum")
    assert first != key(aggregator="krum", preset="byzfl")
    assert first != key(aggregator="krum", num_blocks=13)
    monkeypatch.setattr(d2m_jax, "__version__", "9.9.9")
    assert first != key(aggregator="krum")


def test_a_point_that_says_what_the_base_says_is_the_same_run():
    (run,) = make_plan(base(), [{}]).runs
    (same,) = make_plan(base(), [{"hparams.tau": 0.6, "seed": 0}]).runs
    assert run.key == same.key


def test_constraints_are_counted():
    chosen = product(axis("spec.num_sampled", [4, 8]), axis("spec.num_sellers", [6, 8, 10]))
    enough = {"k > n": lambda config: config.spec.num_sampled <= config.spec.num_sellers}
    made = make_plan(base(), chosen * 2, enough)
    assert made.skipped == {"k > n": 2} and len(made.runs) == 5 and made.repeated == 5


def test_points_that_validate_refuses_are_kept_with_the_sentence():
    made = make_plan(base(), axis("spec.num_sampled", [4, 8, 50]))
    assert len(made.runs) == 2
    ((run, why),) = made.refused
    assert run.point == {"spec.num_sampled": 50}
    assert why == "num_sampled = 50 sellers cannot be drawn from num_sellers = 8"


@pytest.mark.parametrize(
    ("point", "sentence"),
    [
        ({"spec.agregator": "krum"}, "sets spec.agregator, which is no field"),
        ({"hparams.learning": 0.1}, "sets hparams.learning, which is no field"),
        ({"seed.x": 1}, "sets seed.x, which is no field"),
        ({"hparams.tau": "high"}, "sets hparams.tau to 'high', but it is of type float"),
        ({"spec.num_rounds": 2.5}, "sets spec.num_rounds to 2.5, but it is of type int"),
        ({"spec.rice": 1}, "sets spec.rice to 1, but it is of type bool"),
    ],
)
def test_wrong_points_get_a_sentence(point, sentence):
    with pytest.raises(ValueError, match=sentence):
        configure(base(), point)


def test_numbers_are_those_of_the_chosen_attack():
    config = configure(base(), {"spec.attack": "alie", "hparams.attack.alie.z": 2})
    assert config.hparams.attack == {"z": 2.0, "sign": 1.0}
    assert isinstance(configure(base(), {"hparams.tau": 1}).hparams.tau, float)


def test_widths_are_powers_of_two_within_cache_and_cell():
    assert first_width(10, 7_510, 16, "cpu") == 16
    assert first_width(10, 7_510, 5, "cpu") == 8
    assert first_width(10, 7_510, 1, "cpu") == 1
    assert first_width(20, 79_510, 16, "cpu") == 1
    assert first_width(20, 79_510, 10_000, "gpu") == 64


def test_chunks_hold_every_run_once_and_are_padded_with_their_own():
    (group,) = plan().groups
    chunks = make_chunks(group, 3)
    assert sorted(r.key for c in chunks for r in c.runs) == [r.key for r in group.runs]
    assert [len(c.runs) for c in chunks] == [3, 1] * 9
    for chunk in chunks:
        full = padded(chunk, 3)
        assert len(full) == 3 and set(map(id, full)) == set(map(id, chunk.runs))
        spec = full[0].config.spec
        assert group.rules[chunk.rule].name == spec.aggregator
        assert group.attacks[chunk.attack].name == spec.attack
