"""DeepSight: looks into the output layer for who trained on few classes.

Not here: what the layers of a model are (`tasks/flat.py`), the clustering (`density.py`). Read
next: `majority.py`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from d2m_jax.aggregation.density import NOISE, hdbscan
from d2m_jax.aggregation.masks import clip_factors, takes_rows, typed, weighted_sum
from d2m_jax.core.gram import cosines, gram_of, squared_distances
from d2m_jax.core.norms import row_norms, safe_sqrt
from d2m_jax.core.protocols import OutputsOf
from d2m_jax.core.rows import masked_median, present, zero_absent
from d2m_jax.core.types import Count


@takes_rows
def deepsight(
    updates: jax.Array,
    f: Count = 0,
    *,
    mask: jax.Array | None = None,
    layers: Sequence[int] | None = None,
    outputs_of: OutputsOf | None = None,
    share: float | jax.Array = 1 / 3,
    least_energy: float | jax.Array = 0.01,
    neighbours: int = 3,
    least: int = 3,
) -> jax.Array:
    """Mean of the clipped rows of those clusters in which few rows trained on few classes.

    Formula: E_ic = |b_ic| + sum_h |w_ihc| of the output layer, N_ic = E_ic^2 / sum_c E_ic^2; row i
    is suspect when #{c: N_ic > max(least_energy, 1 / L) max_c N_ic} is at most half the median of
    all rows. HDBSCAN clusters the rows by N, by the cosine of b_i, and by the mean over noise of
    p_ic(noise) / p_c(noise), the classes' probabilities after the row's step and before it. Rows
    that most of the clusterings put together are one group; groups with less than `share` suspects
    are kept, clipped at the median norm of all.

    Args:
        updates: `[S, D]`.
        f: ignored; f < m/2 is assumed.
        mask: `[S]` bool, True for present rows; None for all.
        layers: sizes that follow each other and sum to D, from the task. The last two must be the
            bias `[L]` and the weights `[H, L]` of the output layer, as flax orders networks without
            a layer whose name comes after that of the last dense one.
        outputs_of: updates `[K, D]` -> logits `[K, B, L]` on B random inputs; None: two views.
        share: tau of the paper.
        least_energy: as in a port.
        neighbours: of a core row, static.
        least: rows of a cluster, static.

    Returns:
        `[D]`; zeros when no group is kept or nobody is present.

    Raises:
        ValueError: layers whose last two are no output layer, or not one of L outputs.

    Cost: O(S^2 D + S^3) and S + 1 evaluations on the noise. Source: Rieger et al., NDSS 2022. Our
    choices: groups are what most clusterings put together, where the paper clusters their mean
    distance once more, and rows that are noise of a clustering are alone in it.
    """
    del f  # unused
    here, rows = present(updates, mask), zero_absent(updates, mask)
    bias, weights = _output_layer(rows, layers, outputs_of)
    energy = jnp.abs(bias) + jnp.abs(weights).sum(axis=1)
    squares = jnp.square(energy / jnp.maximum(energy.max(axis=1, keepdims=True), 1e-30))
    normal = squares / jnp.maximum(squares.sum(axis=1, keepdims=True), 1e-30)
    floor = jnp.maximum(least_energy, 1 / bias.shape[1]) * normal.max(axis=1, keepdims=True)
    classes = typed((normal > floor).sum(axis=1), updates)
    suspect = classes <= masked_median(classes, mask) / 2
    views = [_apart(normal, mask), 1 - cosines(gram_of(bias, mask).products)]
    if outputs_of is not None:
        views.append(_apart(_divided(outputs_of, rows), mask))
    found = [hdbscan(view, here, neighbours=neighbours, least=least) for view in views]
    group = joined([(one[:, None] == one[None]) & (one != NOISE)[:, None] for one in found], here)
    bad = typed(group & suspect[None], updates).sum(axis=1)
    kept = here & (bad < share * typed(group, updates).sum(axis=1))
    factors = clip_factors(row_norms(rows), masked_median(row_norms(rows), mask))
    total = typed(jnp.maximum(kept.sum(), 1), updates)
    return weighted_sum(jnp.where(kept, factors, 0) / total, rows)


def joined(together: Sequence[jax.Array], mask: jax.Array) -> jax.Array:
    """`[S, S]` bool: rows in one group, where what most clusterings put together is joined."""
    votes = sum(pair.astype(jnp.int32) for pair in together)
    near = (2 * votes > len(together)) & mask[:, None] & mask[None, :]
    near = near | (jnp.eye(mask.shape[0], dtype=bool) & mask[:, None])

    def further(_: int, near: jax.Array) -> jax.Array:
        steps = jnp.matmul(near.astype(jnp.float32), near.astype(jnp.float32))
        return steps > 0

    return jax.lax.fori_loop(0, max(mask.shape[0] - 1, 1).bit_length(), further, near)


def _output_layer(
    rows: jax.Array, layers: Sequence[int] | None, outputs_of: OutputsOf | None
) -> tuple[jax.Array, jax.Array]:
    """The bias `[S, L]` and the weights `[S, H, L]` at the end of each row."""
    sizes = tuple(layers or ())
    fits = len(sizes) >= 2 and sum(sizes) == rows.shape[1] and sizes[-1] % sizes[-2] == 0
    if fits and outputs_of is not None:
        fits = jax.eval_shape(outputs_of, rows[:1]).shape[-1] == sizes[-2]
    if not fits:
        raise ValueError(
            "deepsight looks at an output layer: the last two of `layers` must be a bias of L and "
            f"weights of H x L of {rows.shape[1]} parameters, L outputs, not {sizes[-2:]}"
        )
    num_classes, end = sizes[-2], rows.shape[1] - sizes[-1]
    weights = rows[:, end:].reshape(rows.shape[0], -1, num_classes)
    return rows[:, end - num_classes : end], weights


def _apart(points: jax.Array, mask: jax.Array | None) -> jax.Array:
    """`[S, S]` Euclidean distances."""
    return safe_sqrt(jnp.maximum(squared_distances(gram_of(points, mask).products), 0))


def _divided(outputs_of: OutputsOf, rows: jax.Array) -> jax.Array:
    """`[S, L]`: mean over the noise of each class's probability after a step over that before."""
    logits = outputs_of(jnp.concatenate([rows, jnp.zeros_like(rows[:1])]))
    logs = jax.nn.log_softmax(logits, axis=-1)
    return jnp.exp(jnp.clip(logs[:-1] - logs[-1:], -30, 30)).mean(axis=1)
