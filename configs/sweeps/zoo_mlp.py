"""Every rule against every attack: MNIST MLP, 20 sellers of which 10 train, 0 to 40 % Byzantine.

    python scripts/sweep.py --config=configs/sweeps/zoo_mlp.py --data_dir=DIR --out=results/zoo_mlp
    python -m benchmarks.zoo results/zoo_mlp --out=docs

Dirichlet 0.5, batch 25, 60 rounds. What came out is in docs/zoo.md. Resumable like every sweep.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config
from d2m_jax.aggregation import AGGREGATORS
from d2m_jax.attacks import ATTACKS
from d2m_jax.sweep import axis, product, together
from d2m_jax.sweep.space import Point

# Not in the grid: what is refused before any rule sees it (`nan`, `inf`, `huge`), what aims at
# another thing than accuracy on clean images, and twins of others.
LEFT_OUT = {"none", "nan", "inf", "huge", "alie_paper", "backdoor", "backdoor_distributed"}
ASSAULTS = [name for name in ATTACKS if name not in LEFT_OUT]
SHARES = [2, 4, 6, 8]  # of 20 sellers


def get_config() -> ConfigDict:
    return default_config(
        data={"name": "mnist", "alpha": 0.5, "num_validation": 400, "num_root": 100},
        spec={
            "model": "mlp",
            "num_sampled": 10,
            "batch_size": 25,
            "num_rounds": 60,
            "eval_every": 30,
            "sampler": "uniform",
            "aggregator": "mean",
            "contribution": "count",
        },
        hparams={"population": {"num_colluding": 0}, "learning": {"lr": 0.1}},
    )


def defences() -> list[Point]:
    """Every rule under uniform sampling, mixing before three of them, and Corrected OSMD."""
    names = list(AGGREGATORS)
    plain = together(axis("spec.aggregator", names), axis("spec.sampler", ["uniform"] * len(names)))
    mixed = [
        {**point, "spec.pre_aggregators": ["nnm"]}
        for point in plain
        if point["spec.aggregator"] in ("trimmed_mean", "median", "geometric_median")
    ]
    own = {"spec.aggregator": "own", "spec.sampler": "corrected_osmd"}
    return [{"spec.pre_aggregators": [], **point} for point in [*plain, *mixed, own]]


def attacks() -> list[Point]:
    """No attackers, and every attack at every share."""
    nobody = {"spec.attack": "none", "hparams.population.num_byzantine": 0}
    return [nobody] + product(
        axis("spec.attack", ASSAULTS), axis("hparams.population.num_byzantine", SHARES)
    )


def get_points() -> list[Point]:
    return product(defences(), attacks())
