"""Local training: what a seller does with the model between download and upload.

Here: one seller (`local.py`), all sampled ones (`train.py`), momentum, SCAFFOLD, drop-outs,
delays, availability. Not here: attacks on updates (`attacks/`), aggregation. Read next: `local.py`.
"""

from d2m_jax.sellers import scaffold
from d2m_jax.sellers.availability import AVAILABILITIES, Availability, replayed
from d2m_jax.sellers.delays import DELAYS, Delay
from d2m_jax.sellers.local import local_update
from d2m_jax.sellers.momentum import Momentum, ema, heavy_ball
from d2m_jax.sellers.participation import Participation, participation
from d2m_jax.sellers.scaffold import ScaffoldState
from d2m_jax.sellers.train import assigned_batches, draw_batch, train_sellers

__all__ = [
    "AVAILABILITIES",
    "DELAYS",
    "MOMENTA",
    "Availability",
    "Delay",
    "Momentum",
    "Participation",
    "ScaffoldState",
    "assigned_batches",
    "draw_batch",
    "ema",
    "heavy_ball",
    "local_update",
    "participation",
    "replayed",
    "scaffold",
    "train_sellers",
]

MOMENTA: dict[str, Momentum] = {"ema": ema, "heavy_ball": heavy_ball}
