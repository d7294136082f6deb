"""1,000 trainings of the MNIST MLP (784-100-10): 5 rules x 5 attacks x 4 shares x 10 seeds.

    python scripts/sweep.py --config=configs/sweeps/mnist_1000.py --data_dir=DIR

20 sellers that all train, batch 25, 100 rounds; the same work as a ByzFL training of that model.
429 s on two cores, compilation (14 s) included: `python -m benchmarks.sweep byzfl --data_dir=DIR`.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config
from d2m_jax.sweep import axis, product
from d2m_jax.sweep.space import Point


def get_config() -> ConfigDict:
    return default_config(
        data={"name": "mnist"},
        spec={
            "model": "mlp",
            "num_sampled": 20,
            "batch_size": 25,
            "eval_every": 50,
            "sampler": "uniform",
            "aggregator": "mean",
            "contribution": "count",
        },
        hparams={"population": {"num_colluding": 12}},
    )


def get_points() -> list[Point]:
    return product(
        axis("spec.aggregator", ["mean", "median", "trimmed_mean", "krum", "geometric_median"]),
        axis("spec.attack", ["none", "sign_flip", "ipm", "alie", "label_flip"]),
        axis("hparams.population.num_byzantine", [2, 4, 6, 8]),
        axis("seed", range(10)),
    )
