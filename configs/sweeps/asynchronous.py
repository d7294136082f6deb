"""Does the defence hold when updates are late? Delays, attacks and what is made of late updates.

    python scripts/sweep.py --config=configs/sweeps/asynchronous.py --out=results/asynchronous
    python -m benchmarks.zoo results/asynchronous --by=lateness

Built-in digits, MLP, 10 of 20 sellers a round, 6 of them Byzantine, 60 rounds, Dirichlet 0.5, two
worlds, two rates: 360 trainings in 3 programs, minutes on two quiet cores. Sellers have means of
their own (log-normal, deviation 1), in rounds; a model is at most 20 rounds old.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config
from d2m_jax.sweep import axis, product, together
from d2m_jax.sweep.space import Point

MEANS = [0.0, 2.0, 8.0]
STALENESS = [0.0, 0.5]
RATES = [0.1, 0.3]
ATTACKS = ["alie", "sign_flip", "label_flip", "orthogonal"]


def get_config() -> ConfigDict:
    return default_config(
        data={"name": "digits", "alpha": 0.5, "num_validation": 200, "num_root": 100},
        spec={
            "model": "mlp",
            "num_sampled": 10,
            "batch_size": 25,
            "num_rounds": 60,
            "eval_every": 30,
            "contribution": "count",
            "delay": "by_seller",
            "max_delay": 20,
        },
    )


def defences() -> list[Point]:
    ours: Point = {"spec.sampler": "corrected_osmd", "spec.aggregator": "own"}
    nnm: Point = {"spec.aggregator": "trimmed_mean", "spec.pre_aggregators": ("nnm",)}
    plain: list[Point] = [nnm, {"spec.aggregator": "fltrust"}]
    return [ours, *({"spec.sampler": "uniform", **rule} for rule in plain)]


def get_points() -> list[Point]:
    byzantine = "hparams.population.num_byzantine"
    nobody = {"spec.attack": "none", byzantine: 0}
    bad = product(axis("spec.attack", ATTACKS), axis(byzantine, [6]))
    late = product(
        axis("hparams.delay.by_seller.mean", MEANS), axis("hparams.learning.staleness", STALENESS)
    )
    worlds = together(axis("seed", [0, 1]), axis("data.seed", [0, 1]))
    rates = axis("hparams.learning.lr", RATES)
    return product(defences(), [nobody, *bad], late, rates, worlds)
