"""Questions of six classes, TREC: 20 sellers of which 6 flip signs.

    python scripts/run_market.py --config=configs/trec.py --data_dir=DIR

docs/tasks.md has what it comes to. DIR holds trec/.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config


def get_config() -> ConfigDict:
    return default_config(
        data={"name": "trec", "num_validation": 400},
        spec={
            "model": "text_bow",
            "num_rounds": 400,
            "eval_every": 20,
            "batch_size": 32,
            "attack": "sign_flip",
        },
        hparams={
            "tau": 0.75,
            "learning": {"lr": 1.0, "momentum": 0.9},
            "attack": {"sign_flip": {"scale": 10.0}},
            "population": {"num_byzantine": 6, "num_colluding": 12},
        },
    )
