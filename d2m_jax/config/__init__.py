"""What a market is made of: shapes and names (`spec.py`), numbers (`hparams.py`), how they are read
from a configuration (`parsing.py`).
"""

from d2m_jax.config.hparams import HParams, as_arrays
from d2m_jax.config.parsing import Config, default_config, parse_config, to_dict
from d2m_jax.config.spec import DataSpec, Spec

__all__ = [
    "Config",
    "DataSpec",
    "HParams",
    "Spec",
    "as_arrays",
    "default_config",
    "parse_config",
    "to_dict",
]
