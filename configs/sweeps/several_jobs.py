"""Four jobs at once: how many jobs a seller's data fits, how many sellers cheat; a minute.

d2m sweep --config=configs/sweeps/several_jobs.py --jobs
d2m report results/several_jobs

`--jobs` keeps a row per market and job beside the row per market. Sellers have one deposit here:
who fits two jobs serves the one that closes first.
"""

from ml_collections import ConfigDict

from configs import several_jobs
from d2m_jax.sweep import axis, product
from d2m_jax.sweep.space import Point


def get_config() -> ConfigDict:
    config = several_jobs.get_config()
    config.hparams.money.seller_stake = 70_000
    return config


def get_points() -> list[Point]:
    return product(
        axis("hparams.population.breadth", [1, 2, 3]),
        axis("hparams.population.num_byzantine", [0, 6]),
        axis("seed", [0, 1, 2, 3]),
    )
