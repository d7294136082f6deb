"""As `zoo_mlp.py`, with every attack that aims at accuracy on clean images: 3,150 runs.

    python scripts/sweep.py --config=configs/sweeps/zoo_all.py --data_dir=DIR
    python -m benchmarks.zoo results/zoo_all

Not in it: what is refused before any rule sees it, backdoors, and the twin of `alie`.
"""

from configs.sweeps import zoo_mlp
from d2m_jax.attacks import ATTACKS
from d2m_jax.sweep import axis, product
from d2m_jax.sweep.space import Point

LEFT_OUT = {"none", "nan", "inf", "huge", "alie_paper", "backdoor", "backdoor_distributed"}

get_config = zoo_mlp.get_config


def get_points() -> list[Point]:
    names = [name for name in ATTACKS if name not in LEFT_OUT]
    rates = axis("hparams.learning.lr", zoo_mlp.RATES)
    return product(zoo_mlp.defences(), zoo_mlp.attacks(names), rates)
