"""CIFAR-10 with a plain three-layer CNN, no augmentation, and the parties of `mnist.py`.

python scripts/run_market.py --config=configs/cifar10.py --data_dir=DIR
"""

from ml_collections import ConfigDict

from configs import mnist


def get_config() -> ConfigDict:
    config = mnist.get_config()
    config.data.name = "cifar10"
    config.spec.model = "cifar_cnn"
    config.spec.num_rounds = 800
    config.hparams.tau = 0.5
    return config
