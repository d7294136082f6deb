"""An experiment of six small markets, one program."""

from d2m_jax.reproduce.bands import NOBODY, accuracy, ahead, loss, none_wrong
from d2m_jax.reproduce.cases import DEALS, Experiment, assaults, cross
from tests.sweep.small import base

POPULATION = "hparams.population."


def experiment(**changes):
    """Logistic regression on digits: 8 sellers, 24 nodes, two worlds."""
    cases = [
        case._replace(point=fewer(case.point)) for case in cross(DEALS, assaults(["ipm"], [0.3]))
    ]
    made = Experiment(
        name="small",
        about="Six markets.",
        base=base(sampler="corrected_osmd", aggregator="own"),
        cases=cases[:3],
        seeds=(0, 1),
        bands=(
            accuracy("small", 50, bad=NOBODY, data="Dirichlet 0.5"),
            loss("small", 40, "30%", data="Dirichlet 0.5"),
            none_wrong("small", bad="30%"),
        ),
        minutes=1,
        needs_data=False,
    )
    return made._replace(**changes)


def fewer(point):
    """The bad parties of a market of 8 sellers and 24 nodes."""
    some = point[f"{POPULATION}num_byzantine"] > 0
    counts = {f"{POPULATION}num_byzantine": 2 * some, f"{POPULATION}num_colluding": 7 * some}
    return {**point, **counts}


IMPOSSIBLE = accuracy("small", 100.5, bad=NOBODY, data="Dirichlet 0.5")
APART = ahead("calm before bad", 0, {"bad": NOBODY}, {"bad": "30%"})
