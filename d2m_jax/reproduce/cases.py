"""What an experiment is: a base, named cases, seeds, and the bands that it is held to.

Not here: which experiments there are (`experiments.py`).
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from d2m_jax.config.parsing import default_config
from d2m_jax.config.shares import rounded
from d2m_jax.reproduce.bands import NOBODY, Band
from d2m_jax.sweep.space import Point

SELLERS, SAMPLED, NODES = 50, 20, 64  # n, k and the pool of every experiment


class Case(NamedTuple):
    """One row of a table: what it is called, column by column, and the fields that it sets."""

    labels: dict[str, str]
    point: Point


class Experiment(NamedTuple):
    """A declared experiment; every case is run in every world."""

    name: str  # of its page, and of its folder
    about: str  # what it asks, one sentence
    base: dict[str, Any]  # a whole configuration as a nested dictionary
    cases: list[Case]
    seeds: tuple[int, ...]  # of a world: the sellers' data, who is bad, and all else
    bands: tuple[Band, ...]
    minutes: float  # on two idle cores, about
    needs_data: bool = True  # the official archives of its data set


def market(name: str, tau: float, **changes: Mapping[str, Any]) -> dict[str, Any]:
    """The market of all experiments: n = 50, k = 20, 64 nodes, the default dispute.

    Args:
        name: of the data set.
        tau: the buyer's threshold.
        **changes: of `data`, `spec` and `learning`.
    """
    size = {"num_sellers": SELLERS, "num_sampled": SAMPLED, "num_nodes": NODES}
    return default_config(
        data={"name": name, "num_validation": 400, **changes.get("data", {})},
        spec={**size, **changes.get("spec", {})},
        hparams={
            "tau": tau,
            "learning": changes.get("learning", {}),
            "attack": {"sign_flip": {"scale": 10.0}},
        },
    ).to_dict()


def cross(*spaces: Iterable[Case]) -> list[Case]:
    """Every combination of cases, the last one varying fastest."""
    found = [Case({}, {})]
    for space in spaces:
        space = list(space)
        found = [
            Case({**left.labels, **right.labels}, {**left.point, **right.point})
            for left in found
            for right in space
        ]
    return found


def seeded(case: Case, seed: int) -> Point:
    """The point of a case in one world."""
    return {**case.point, "seed": seed, "data.seed": seed}


DEALS = [
    Case({"data": "Dirichlet 0.5"}, {"data.partition": "dirichlet", "data.alpha": 0.5}),
    Case({"data": "iid"}, {"data.partition": "iid"}),
]


def bad_parties(share: float) -> Point:
    """This share of the sellers is Byzantine, and this share of the nodes colludes."""
    population = "hparams.population"
    return {
        f"{population}.num_byzantine": rounded(share, SELLERS),
        f"{population}.num_colluding": rounded(share, NODES),
    }


def assaults(attacks: Iterable[str], shares: Iterable[float]) -> list[Case]:
    """Nobody bad, and every attack by every share of the sellers with as many of the nodes."""
    attacks = list(attacks)
    nobody = Case({"bad": NOBODY, "attack": "none"}, {"spec.attack": "none", **bad_parties(0.0)})
    return [nobody] + [
        Case({"bad": f"{share:.0%}", "attack": name}, {"spec.attack": name, **bad_parties(share)})
        for share in shares
        for name in attacks
    ]
