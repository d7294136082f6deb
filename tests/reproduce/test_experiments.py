"""The declared table: every case is a market that exists, every band speaks of cases."""

import pytest

from d2m_jax.attacks import ATTACKS
from d2m_jax.config.parsing import parse_config
from d2m_jax.market.validation import validate
from d2m_jax.reproduce.bands import judge
from d2m_jax.reproduce.cases import NODES, SELLERS, seeded
from d2m_jax.reproduce.experiments import GRIDS, SEARCHED, ZOO
from d2m_jax.reproduce.run import cells_of, results_of
from d2m_jax.sweep.plan import configure

ALL = [experiment for grid in GRIDS.values() for experiment in grid]


def test_names_are_of_one_experiment_each():
    assert len({experiment.name for experiment in ALL}) == len(ALL)


@pytest.mark.parametrize("experiment", ALL, ids=lambda experiment: experiment.name)
def test_every_case_is_a_whole_market_of_the_size_that_is_told(experiment, tmp_path):
    labels = [tuple(case.labels.items()) for case in experiment.cases]
    assert len(set(labels)) == len(labels)
    assert len(experiment.seeds) >= 3
    for case in experiment.cases:
        config = configure(experiment.base, seeded(case, 0))
        validate(config.spec, config.hparams, config.data)
        spec, people = config.spec, config.hparams.population
        assert (spec.num_sellers, spec.num_sampled, spec.num_nodes) == (50, 20, 64)
        assert spec.auction == "sealed"
        share = float(case.labels["bad"].rstrip("%")) / 100
        assert people.num_byzantine == round(share * SELLERS)
        captured = "of the nodes bad" in case.labels.get("part", "")
        assert people.num_colluding == (38 if captured else round(share * NODES))
        assert spec.attack == case.labels["attack"]
    cells = cells_of(experiment, results_of(experiment, tmp_path))
    assert cells["worlds"].sum() == 0
    assert {judge(band, cells).status for band in experiment.bands} == {"not measured"}


def test_the_default_dispute_is_the_one_that_is_measured():
    from d2m_jax.config.parsing import default_config

    usual = parse_config(default_config()).spec.dispute
    assert all(experiment.base["spec"]["dispute"] == usual for experiment in ALL)


def test_the_zoo_leaves_out_what_no_rule_sees_and_backdoors_alone():
    left = set(ATTACKS) - set(ZOO)
    assert {name for name in left if ATTACKS[name].trigger is None} == {
        "none", "nan", "inf", "huge", "alie_paper", *SEARCHED,
    }  # fmt: skip
