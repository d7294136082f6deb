"""Corrected OSMD beside every rule where sellers differ much, less and not: 30 % Byzantine.

    python scripts/sweep.py --config=configs/sweeps/zoo_partitions.py --data_dir=DIR
    python -m benchmarks.zoo results/zoo_partitions --by=partition

Dirichlet 0.1 and 0.5, and iid, three worlds each.
"""

from configs.sweeps import zoo_mlp
from d2m_jax.sweep import axis, product, together
from d2m_jax.sweep.space import Point

get_config = zoo_mlp.get_config


def get_points() -> list[Point]:
    partitions = together(
        axis("data.partition", ["dirichlet", "dirichlet", "iid"]),
        axis("data.alpha", [0.1, 0.5, 0.5]),
    )
    assaults = product(
        axis("spec.attack", zoo_mlp.SIX), axis("hparams.population.num_byzantine", [6])
    )
    rate = axis("hparams.learning.lr", [0.3])
    return product(partitions, zoo_mlp.defences(), assaults, rate, zoo_mlp.worlds())
