"""A first sweep: three rules, three attacks, two shares of attackers, two seeds; about a minute.

python scripts/sweep.py --config=configs/sweeps/quick.py --dry_run
python scripts/sweep.py --config=configs/sweeps/quick.py --out=results/quick
python scripts/report.py results/quick
"""

from ml_collections import ConfigDict

from d2m_jax import default_config
from d2m_jax.config.parsing import Config
from d2m_jax.sweep import axis, product
from d2m_jax.sweep.space import Point


def get_config() -> ConfigDict:
    return default_config(
        spec={"sampler": "uniform", "aggregator": "mean", "contribution": "count"},
        hparams={"population": {"num_colluding": 12}},
    )


def get_points() -> list[Point]:
    return product(
        axis("spec.aggregator", ["mean", "median", "krum"]),
        axis("spec.attack", ["sign_flip", "alie", "label_flip"]),
        axis("hparams.population.num_byzantine", [2, 6]),
        axis("seed", [0, 1]),
    )


def fewer_bad_than_good(config: Config) -> bool:
    return 2 * config.hparams.population.num_byzantine < config.spec.num_sellers


CONSTRAINTS = {"half of the sellers or more are Byzantine": fewer_bad_than_good}
