"""Attacks that try the defence itself: Corrected OSMD, six of the best other rules, the mean.

    python scripts/sweep.py --config=configs/sweeps/zoo_adaptive.py --data_dir=DIR
    python -m benchmarks.zoo results/zoo_adaptive

Worlds of `zoo_mlp.py`. A run takes ten times as long as there: the attacker aggregates many times.
"""

from configs.sweeps import zoo_cnn, zoo_mlp
from d2m_jax.sweep import axis, product
from d2m_jax.sweep.space import Point

get_config = zoo_mlp.get_config
RULES = ["fltrust", "clipped_clustering", "caf", "centered_clipping", "signguard"]


def get_points() -> list[Point]:
    rate = axis("hparams.learning.lr", [0.3])
    assaults = zoo_mlp.attacks(zoo_mlp.ADAPTIVE)
    return product(zoo_cnn.defences(RULES), assaults, rate, zoo_mlp.worlds())
