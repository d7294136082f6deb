"""The next character of Shakespeare: 99 roles are the sellers, 30 of them flip signs.

    python scripts/run_market.py --config=configs/shakespeare.py --data_dir=DIR

docs/tasks.md has what it comes to. DIR holds shakespeare/.
"""

from ml_collections import ConfigDict

from d2m_jax import default_config


def get_config() -> ConfigDict:
    return default_config(
        data={"name": "shakespeare", "partition": "clients"},
        spec={
            "model": "char_lstm",
            "num_sellers": 99,
            "num_sampled": 10,
            "batch_size": 16,
            "num_rounds": 600,
            "eval_every": 50,
            "attack": "sign_flip",
        },
        hparams={
            "tau": 0.4,
            "learning": {"lr": 2.0, "momentum": 0.9},
            "attack": {"sign_flip": {"scale": 10.0}},
            "population": {"num_byzantine": 30, "num_colluding": 12},
        },
    )
