"""What a market is made of: shapes and choices (`spec.py`), numbers (`hparams.py`).

How they are read from a configuration is in `parsing.py`, which knows what there is to choose from.
"""

from d2m_jax.config.arrays import as_arrays
from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import DataSpec, Spec

__all__ = ["DataSpec", "HParams", "Spec", "as_arrays"]
