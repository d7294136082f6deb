"""Axes of any sweep: found, named, told apart from repetitions, put on a figure."""

import pytest

from d2m_jax.report.page.axes import View, axes_of, choose_view, field_of, swept, with_defence
from tests.report.sweeps import rows

COLLUDERS = {
    "spec.stop_rule": ["lead", "miracle"],
    "hparams.population.num_colluding": [0, 8, 16],
    "seed": [0, 1],
}


def found(axes, **more):
    runs, _ = rows(axes, lambda point: 0.5, **more)
    return axes_of(with_defence(runs))


def by_field(axes):
    return {axis.field: axis for axis in axes}


def test_axes_are_found_whatever_they_are_called():
    axes = by_field(found(COLLUDERS))
    assert set(axes) == set(COLLUDERS)
    assert axes["hparams.population.num_colluding"].values == [0, 8, 16]
    assert axes["hparams.population.num_colluding"].is_number
    assert not axes["spec.stop_rule"].is_number
    assert {axis.field for axis in swept(list(axes.values()))} == set(COLLUDERS) - {"seed"}


def test_labels_are_the_shortest_ends_that_differ():
    axes = {
        "hparams.attack.alie.z": [1.0, 2.0],
        "hparams.defence.z": [3.0, 4.0],
        "data.seed": [0, 1],
    }
    labels = {axis.field: axis.label for axis in found(axes)}
    assert labels == {
        "hparams.attack.alie.z": "alie.z",
        "hparams.defence.z": "defence.z",
        "data.seed": "data.seed",
    }


def test_an_axis_in_step_with_another_is_none_of_its_own():
    runs, _ = rows({"spec.num_sellers": [20, 100], "spec.attack": ["a", "b"]}, lambda point: 0.5)
    runs["spec.num_sampled"] = runs["spec.num_sellers"] // 2
    axes = by_field(axes_of(runs))
    assert axes["spec.num_sampled"].follows == "spec.num_sellers"
    assert {axis.field for axis in swept(list(axes.values()))} == {
        "spec.num_sellers",
        "spec.attack",
    }


def test_a_point_that_lacks_an_axis_has_the_value_none():
    runs, _ = rows({"spec.attack": ["a", "b"]}, lambda point: 0.5)
    runs["hparams.attack.a.z"] = [1.5, None]
    assert by_field(axes_of(runs))["hparams.attack.a.z"].values == [1.5, None]


def test_parts_of_a_defence_are_one_axis():
    runs, _ = rows(
        {"spec.sampler": ["uniform"], "spec.aggregator": ["krum", "own"]}, lambda point: 0.5
    )
    runs["spec.sampler"] = ["uniform", "corrected_osmd"]
    axes = by_field(axes_of(with_defence(runs)))
    assert axes["defence"].values == ["corrected_osmd", "uniform + krum"]
    assert axes["spec.aggregator"].follows == axes["spec.sampler"].follows == "defence"


def test_a_logarithmic_axis():
    axes = by_field(
        found({"hparams.learning.lr": [0.001, 0.1, 1.0], "spec.num_nodes": [8, 16, 32]})
    )
    assert axes["hparams.learning.lr"].is_log and not axes["spec.num_nodes"].is_log


@pytest.mark.parametrize(
    ("axes", "view"),
    [
        (COLLUDERS, ("hparams.population.num_colluding", "spec.stop_rule", "")),
        ({"seed": [0, 1]}, ("", "", "")),
        ({"spec.attack": ["a", "b"]}, ("spec.attack", "", "")),
        ({"spec.attack": ["a", "b"], "spec.aggregator": ["c", "d"], "hparams.tau": [0.1, 0.2]},
         ("hparams.tau", "spec.aggregator", "spec.attack")),
        ({"hparams.tau": [0.1, 0.2], "hparams.population.num_byzantine": [1, 2]},
         ("hparams.population.num_byzantine", "hparams.tau", "")),
        ({"spec.scaffold": [True, False], "hparams.tau": [0.1, 0.2]},
         ("hparams.tau", "spec.scaffold", "")),
    ],
)  # fmt: skip
def test_a_view_that_suits(axes, view):
    chosen = choose_view(found(axes), "test_metric")
    assert (chosen.x, chosen.by, chosen.panel) == view


def test_a_view_that_somebody_wants():
    axes = found(COLLUDERS)
    assert choose_view(axes, "welfare", x="spec.stop_rule") == View(
        "spec.stop_rule", "welfare", "hparams.population.num_colluding"
    )
    assert choose_view(axes, "welfare", by="").by == ""


def test_axes_by_name():
    axes = found(COLLUDERS)
    assert field_of(axes, "stop_rule", "x") == field_of(axes, "spec.stop_rule", "x")
    with pytest.raises(ValueError, match=r"axis for by 'stop_rul' \(did you mean 'stop_rule'\?\)"):
        field_of(axes, "stop_rul", "by")
    with pytest.raises(ValueError, match="this sweep varies nothing"):
        field_of([], "stop_rule", "x")
