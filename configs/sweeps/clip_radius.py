"""Updates a thousand times too long, and too short, against the clip of Corrected OSMD.

    python scripts/sweep.py --config=configs/sweeps/clip_radius.py

Digits, MLP, 10 of 20 sellers a round, 60 rounds, 256 worlds of each kind: docs/corrected_osmd.md.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config
from d2m_jax.sweep import axis, product
from d2m_jax.sweep.space import Point


def get_config() -> ConfigDict:
    return default_config(
        data={"name": "digits"},
        spec={
            "model": "mlp",
            "attack": "norm_inflation",
            "sampler": "corrected_osmd",
            "num_sampled": 10,
            "num_rounds": 60,
            "eval_every": 20,
        },
    )


def get_points() -> list[Point]:
    return product(
        axis("hparams.population.num_byzantine", [8, 9]),
        axis("hparams.attack.norm_inflation.scale", [1e-12, 1e-3, 1e3]),
        axis("seed", range(256)),
    )
