"""Poisoned data: what a bad seller trains on, and how success is measured.

Not here: attacks on the update itself (`updates.py`). Read next: `schedules.py`.

`poison(key, images [B, H, W, Ch], labels [B], num_classes, *, seller, **hyper)` is what one bad
seller does to one batch; images are raw (0..255, uint8 or float), before normalisation.
"""

import jax

from d2m_jax.types import Key


def label_flip(
    key: Key,
    images: jax.Array,
    labels: jax.Array,
    num_classes: int,
    *,
    seller: jax.Array | int = 0,
) -> tuple[jax.Array, jax.Array]:
    """Trains on the mirrored label: y -> num_classes - 1 - y.

    The attacker's own data, as in Fang et al. 2020 and Blades. ByzFL differs: there the attackers
    send the mean of the *honest* sellers' flipped gradients.
    """
    del key, seller  # unused
    return images, num_classes - 1 - labels
