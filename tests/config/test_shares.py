"""Shares of bad parties: rounded to counts by one rule, never set together with their count."""

import decimal

import pytest

from d2m_jax import Spec, default_config, parse_config
from d2m_jax.config.fields import meaning
from d2m_jax.config.population import Population
from d2m_jax.config.shares import COUNTS, Shares, population, rounded
from d2m_jax.report.page.axes import axes_of, choose_view
from d2m_jax.report.page.axes import swept as varied
from d2m_jax.sweep import axis, make_plan, product, together
from d2m_jax.sweep.tables import runs_table

FIELD = "hparams.population."


@pytest.mark.parametrize(
    ("share", "size", "count"),
    [
        (0.0, 20, 0), (1.0, 20, 20), (0.3, 20, 6), (0.35, 10, 4), (0.25, 10, 3), (0.05, 10, 1),
        (0.049, 10, 0), (0.145, 100, 15), (0.29, 50, 15), (1 / 3, 9, 3), (0.1, 10_000, 1_000),
    ],
)  # fmt: skip
def test_by_hand(share: float, size: int, count: int) -> None:
    assert rounded(share, size) == count


def test_halves_go_up_whatever_binary_fractions_say() -> None:
    """Against decimal arithmetic, over all shares of two digits."""
    for hundredths in range(101):
        for size in (1, 7, 10, 50, 64, 100, 1_000):
            share = decimal.Decimal(hundredths) / 100
            want = (share * size).to_integral_value(decimal.ROUND_HALF_UP)
            assert rounded(float(share), size) == want


@pytest.mark.parametrize("name", Shares._fields)
def test_every_share_is_its_count(name: str) -> None:
    count, size = COUNTS[name]
    config = default_config(hparams={"population": {name: 0.25}}, spec={"num_nodes": 40})
    spec = Spec(num_nodes=40)
    want = Population(**{count: round(0.25 * getattr(spec, size))})
    assert parse_config(config).hparams.population == want == population(spec, **{name: 0.25})
    assert want != Population()
    assert size in meaning(FIELD + name) and count in meaning(FIELD + name)


def test_all_counts_but_breadth_have_a_share() -> None:
    counts = {count for count, _ in COUNTS.values()}
    assert counts == set(vars(Population())) - {"breadth"} and set(COUNTS) == set(Shares._fields)


@pytest.mark.parametrize("share", [-0.1, 1.01, float("nan"), "x", None, True])
def test_no_share(share: object) -> None:
    with pytest.raises(ValueError, match=r"population.silent_share must lie in \[0, 1\]"):
        population(Spec(), silent_share=share)


def test_both_set_is_one_sentence() -> None:
    config = default_config(hparams={"population": {"num_byzantine": 6, "byzantine_share": 0.0}})
    with pytest.raises(ValueError) as said:
        parse_config(config)
    assert str(said.value) == (
        "population.byzantine_share = 0 and population.num_byzantine = 6 are both set: "
        "leave num_byzantine at 0 or byzantine_share at -1"
    )


def test_an_unknown_field() -> None:
    with pytest.raises(ValueError, match="did you mean 'byzantine_share'"):
        population(Spec(), byzantin_share=0.1)


def test_an_axis_of_shares_is_one_of_counts() -> None:
    """The same runs as with counts, in markets of two sizes; its own column and axis."""
    base = default_config().to_dict()
    shares, sizes = [0.0, 0.1, 0.35], [10, 20]
    market = {n: {"spec.num_sellers": n, "spec.num_sampled": 5} for n in sizes}
    plan = make_plan(base, product(list(market.values()), axis(f"{FIELD}byzantine_share", shares)))
    pairs = [(10, 0), (10, 1), (10, 4), (20, 0), (20, 2), (20, 7)]
    counted = make_plan(
        base,
        together([market[n] for n, _ in pairs],
                 axis(f"{FIELD}num_byzantine", [count for _, count in pairs])),
    )  # fmt: skip
    assert sorted(plan.keys) == sorted(counted.keys) and len(plan.runs) == 6
    table = runs_table(plan.runs, None, "not run").to_pandas()
    assert sorted(table[f"{FIELD}byzantine_share"].unique()) == shares
    axes = axes_of(table.drop(columns=["spec.num_sampled"]))
    assert [a.label for a in varied(axes)] == ["byzantine_share", "num_sellers"]
    assert choose_view(axes, "welfare").x == f"{FIELD}byzantine_share"


def test_too_many_by_rounding_are_refused_with_their_point() -> None:
    points = [{f"{FIELD}byzantine_share": 0.5, f"{FIELD}stranger_share": 0.5,
               "spec.num_sellers": 5, "spec.num_sampled": 5}]  # fmt: skip
    plan = make_plan(default_config().to_dict(), points)
    assert not plan.runs and "is more than the num_sellers = 5" in plan.refused[0][1]
