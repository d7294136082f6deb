"""What the batches that sellers were to train on say of their updates, once they are opened.

A batch follows from the round's seed, the seller's number and what it has committed to hold; who
values work by it has seen it (`privacy/visibility.py`). Read first: `round.py`.
"""

import jax
import jax.numpy as jnp

from d2m_jax import privacy, sellers
from d2m_jax.core.types import Batch
from d2m_jax.market.parts import Parts
from d2m_jax.market.scene import Scene


def falls_on_batches(
    parts: Parts, scene: Scene, who: jax.Array, updates: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """How far each update alone lowers the loss on its seller's own batch, and on another's.

    Args:
        parts: of the market.
        scene: of the round.
        who: [S] int32 sellers; the other batch is that of the next one.
        updates: [S, D] float32.

    Returns:
        [S] and [S] float32. 3 S losses of a batch; with several local steps of the first one's.
    """
    model, theta = parts.model, scene.state.theta
    batches = sellers.assigned_batches(
        model, scene.keys.train, scene.data, who, batch_size=parts.spec.batch_size
    )
    batches = privacy.release(batches, "opened batch")
    before = jax.vmap(model.loss, (None, 0))(theta, batches)

    def falls(batches: Batch, before: jax.Array) -> jax.Array:
        return before - jax.vmap(model.loss)(theta[None] - scene.rate * updates, batches)

    following = jax.tree.map(lambda leaf: jnp.roll(leaf, -1, axis=0), batches)
    return falls(batches, before), falls(following, jnp.roll(before, -1))
