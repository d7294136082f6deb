"""Fashion-MNIST with the two-layer CNN: 20 sellers, 6 of them flip signs ten-fold, Dirichlet 0.5.

python scripts/run_market.py --config=configs/fashion_mnist.py --data_dir=DIR
"""

from ml_collections import ConfigDict

from d2m_jax import default_config


def get_config() -> ConfigDict:
    return default_config(
        data={
            "name": "fashion_mnist",
            "partition": "dirichlet",
            "alpha": 0.5,
            "num_validation": 400,
        },
        spec={
            "model": "mnist_cnn",
            "num_rounds": 800,
            "eval_every": 50,
            "batch_size": 32,
            "attack": "sign_flip",
        },
        hparams={
            "tau": 0.85,
            "learning": {"lr": 0.02, "lr_final": 0.1, "momentum": 0.9},
            "attack": {"sign_flip": {"scale": 10.0}},
            "population": {"num_byzantine": 6, "num_colluding": 12},
        },
    )
