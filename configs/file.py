"""A market on a file of your own; sellers, model and threshold are chosen from the file.

    python scripts/run_market.py --data=patients.csv --label=disease --client=hospital

Any field can be set on the command line. Seconds to a minute on two cores.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config


def get_config() -> ConfigDict:
    return default_config(hparams={"learning": {"lr": 0.1, "momentum": 0.9}})
