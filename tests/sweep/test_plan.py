"""Plans: full configurations, hashes, groups, constraints, refusals."""

import hashlib
import json
import random

import numpy as np
import pytest

import d2m_jax
from d2m_jax.config.parsing import default_config, to_dict
from d2m_jax.data import load
from d2m_jax.sweep import axis, make_plan, product
from d2m_jax.sweep.batch import Dealer
from d2m_jax.sweep.chunks import first_width, make_chunks, padded
from d2m_jax.sweep.plan import config_key, configure
from tests.sweep.small import base, plan, points


def test_one_group_for_all_rules_attacks_numbers_and_seeds():
    (group,) = plan().groups
    assert len(group.runs) == 36 and len(group.picks.rules) == len(group.picks.attacks) == 3
    assert {len(cell) for cell in group.cells.values()} == {4} and len(group.cells) == 9


def test_what_changes_the_program_makes_a_group():
    chosen = product(
        axis("spec.sampler", ["uniform", "osmd"]),
        axis("spec.set_schedule", ["exponential", "fixed"]),
        axis("spec.num_sellers", [8, 10]),
        axis("hparams.tau", [0.5, 0.6]),
    )
    groups = plan(chosen).groups
    assert len(groups) == 8 and {len(group.runs) for group in groups} == {2}
    assert len({group.name for group in groups}) == 8


def test_rules_that_remember_sellers_share_no_program_with_the_others():
    rules = axis("spec.aggregator", ["mean", "foolsgold", "krum", "safeguard"])
    names = {tuple(rule.name for rule in group.picks.rules) for group in plan(rules).groups}
    assert names == {("krum", "mean"), ("foolsgold", "safeguard")}


def test_worlds_whose_data_have_other_shapes_are_in_groups_of_their_own():
    digits = load("digits")
    units = axis("data.unit_size", [0, 24, 30])
    chosen = product(units, axis("data.seed", [0, 1]), axis("data.alpha", [0.5, 5.0]))
    made = make_plan(base(selling="units", num_units=80), chosen)
    assert sorted(len(group.runs) for group in made.groups) == [4, 4, 4] and not made.refused
    for group in made.groups:
        dealer = Dealer(digits)
        held = dealer.stack([run.config for run in group.runs])["rows"]
        size = group.runs[0].config.data.unit_size or -(-(digits.num_train - 100) // 80)
        assert held.shape == (4, 80 * size)
    (group,) = plan(units).groups  # where accounts sell it does nothing
    assert len(group.runs) == 3


def test_jobs_with_classes_of_their_own_have_a_group_for_every_split():
    """How many examples of its classes a buyer gets is a matter of the data's seed."""
    jobs = base(num_jobs=2, num_sellers=10)
    jobs["data"]["job_classes"] = ((0, 1, 2), (5, 6, 7))
    seeds = product(axis("data.seed", [0, 1]), axis("seed", [0, 1]))
    made = make_plan(jobs, seeds)
    assert not made.refused
    split = [{run.config.data.seed for run in group.runs} for group in made.groups]
    assert sorted(map(sorted, split)) == [[0], [1]]
    jobs["data"]["job_classes"] = ()
    assert len(make_plan(jobs, seeds).groups) == 1  # all jobs share one deal


def half(seed, labels, num_sellers, *, alpha=0.5):
    """A partition that leaves rows out."""
    rows = np.random.default_rng(seed).permutation(len(labels))[: int(alpha * len(labels))]
    return np.array_split(rows, num_sellers)


def test_a_partition_of_ones_own_has_a_group_for_every_number_of_it():
    chosen = product(axis("data.partition", [half, "iid"]), axis("data.alpha", [0.5, 0.25]))
    groups = plan(product(chosen, axis("data.seed", [0, 1]))).groups
    assert sorted(len(group.runs) for group in groups) == [2, 2, 4]
    for group in groups:
        Dealer(load("digits")).stack([run.config for run in group.runs])


def test_the_name_of_a_group_is_of_its_whole_program():
    """Two groups that differ only in the size of the data keep widths of their own."""
    one, two = plan(axis("data.num_validation", [100, 120])).groups
    assert one.spec == two.spec and one.picks == two.picks
    assert one.name != two.name


@pytest.mark.parametrize("seed", [-1, 2**31, 2**40])
def test_a_seed_out_of_range_is_refused_and_others_are_not(seed):
    made = plan(axis("seed", [seed, 0, 2**31 - 1]))
    assert sorted(run.config.seed for run in made.runs) == [0, 2**31 - 1]
    assert [why for _, why in made.refused] == [f"seed must be from 0 to 2**31 - 1, not {seed}"]


@pytest.mark.parametrize("seeds", [[-1, 0], [0, -1]])
@pytest.mark.parametrize("field", ["seed", "data.seed"])
def test_what_is_wrong_with_a_seed_is_said_of_no_other(field, seeds):
    made = plan(axis(field, seeds))
    assert [run.point[field] for run in made.runs] == [0]
    ((run, why),) = made.refused
    assert run.point[field] == -1 and field in why and "-1" in why


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
        rule, attack, *_ = chunk.places
        assert group.picks.rules[rule].name == spec.aggregator
        assert group.picks.attacks[attack].name == spec.attack


def test_points_that_share_a_cell_have_the_keys_of_their_own():
    """What differs in seeds only is computed once, and every key is that of the whole tree."""
    tree = default_config(data={"name": "digits"}).to_dict()
    some = [
        {"seed": seed, "data.seed": world, "hparams.tau": tau}
        for seed in (0, 3)
        for world in (0, 5)
        for tau in (0.5, 1, 1.0)
    ]
    found = make_plan(tree, some)
    assert found.repeated == 4 and len(found.runs) == 8
    for run in found.runs:
        config = configure(tree, run.point)
        assert run.config == config
        whole = {part: to_dict(value) for part, value in config._asdict().items()}
        text = json.dumps({"d2m_jax": d2m_jax.__version__, **whole}, sort_keys=True, default=str)
        assert run.key == config_key(config) == hashlib.sha256(text.encode()).hexdigest()[:16]
