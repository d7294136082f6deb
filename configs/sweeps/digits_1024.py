"""1,024 markets: 8 rules x 8 attacks x 4 Byzantine shares x 4 seeds, on the built-in digits.

    python scripts/sweep.py --config=configs/sweeps/digits_1024.py --out=results/digits_1024
    python scripts/report.py results/digits_1024

20 sellers of which 10 train in a round, a small MLP, 100 rounds. 54 s on two cores, compilation
(12 s) included: `python -m benchmarks.sweep throughput`.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config
from d2m_jax.sweep import axis, product
from d2m_jax.sweep.space import Point

RULES = ["mean", "median", "trimmed_mean", "meamed"]
RULES += ["krum", "multi_krum", "geometric_median", "centered_clipping"]
ATTACKS = ["sign_flip", "ipm", "alie", "min_max"]
ATTACKS += ["gaussian", "norm_inflation", "mimic", "label_flip"]


def get_config() -> ConfigDict:
    return default_config(
        data={"name": "digits"},
        spec={"model": "mlp", "sampler": "uniform", "aggregator": "mean", "contribution": "count"},
        hparams={"population": {"num_colluding": 12}},
    )


def get_points() -> list[Point]:
    return product(
        axis("spec.aggregator", RULES),
        axis("spec.attack", ATTACKS),
        axis("hparams.population.num_byzantine", [2, 4, 6, 8]),
        axis("seed", range(4)),
    )
