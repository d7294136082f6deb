"""Fashion-MNIST with the CNN of `mnist.py`, and the same parties.

python scripts/run_market.py --config=configs/fashion_mnist.py --data_dir=DIR
"""

from ml_collections import ConfigDict

from configs import mnist


def get_config() -> ConfigDict:
    config = mnist.get_config()
    config.data.name = "fashion_mnist"
    config.spec.num_rounds = 800
    config.hparams.tau = 0.85
    return config
