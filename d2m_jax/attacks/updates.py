"""Attacks on the update that need only a formula: flips, noise, shifts, inflation, junk.

Not here: attacks that search (`perturbation.py`, `optimised.py`, `whitebox.py`), free-riders and
copies (`imitation.py`). Read next: `perturbation.py`.

An update is gradient-like: the server does theta - lr * aggregate. g_i is the update a bad seller
would have sent had it been honest, mu and sigma are the mean and the coordinate standard deviation
of the rows that the attacker knows.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri

from d2m_jax.attacks.base import (
    EMPTY,
    AttackContext,
    known_rows,
    masked_mean,
    masked_std,
    present,
    write_rows,
)
from d2m_jax.core.norms import row_norms
from d2m_jax.core.rows import masked_median
from d2m_jax.core.types import Key, Number


def sign_flip(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    scale: Number = 1.0,
) -> jax.Array:
    """Each attacker negates its own update: m_i = -scale * g_i.

    Source: Li et al., AAAI 2019 (RSA). Blades and epfml mean this one by "sign flip"; ByzFL's is
    `sign_flip_mean`. Cost O(S D).
    """
    del key  # unused
    return write_rows(updates, byzantine, -scale * updates, context)


def sign_flip_mean(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    scale: Number = 1.0,
) -> jax.Array:
    """All attackers send the negated mean of the rows they know: m = -scale * mu.

    Source: Allen-Zhu et al., ICLR 2021; ByzFL's SignFlipping (scale 1). Cost O(S D).
    """
    del key  # unused
    rows = known_rows(updates, byzantine, context, knowledge)
    return write_rows(updates, byzantine, -scale * masked_mean(updates, rows), context, rows.any())


def ipm(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    epsilon: Number = 2.0,
) -> jax.Array:
    """Inner-product manipulation ("fall of empires"): m = -epsilon * mu.

    A small epsilon hides among the honest rows, a large one turns the mean around once
    epsilon > (n - f) / f. Default 2 as in ByzFL (Blades 1, epfml 0.1).
    Source: Xie et al., UAI 2019. Cost O(S D).
    """
    del key  # unused
    rows = known_rows(updates, byzantine, context, knowledge)
    return write_rows(
        updates, byzantine, -epsilon * masked_mean(updates, rows), context, rows.any()
    )


def alie_z(num_rows: Number, num_byzantine: Number) -> jax.Array:
    """Returns the z of "a little is enough" from the number of rows n and of attackers f.

    z = Phi^-1((n - f - s) / (n - f)) with s = floor(n / 2 + 1) - f supporters needed for a
    majority. The probability is kept inside (0, 1) by half a row on either side, so that an
    attacker majority (s <= 0) gives a large finite z: our choice. n = 50, f = 10 gives 0.2533.
    Source: Baruch et al., NeurIPS 2019, section 3.
    """
    n = jnp.asarray(num_rows, jnp.float32)
    bad = jnp.asarray(num_byzantine, jnp.float32)
    honest = jnp.maximum(n - bad, 1.0)
    supporters = jnp.floor(n / 2 + 1) - bad
    edge = 0.5 / honest
    return ndtri(jnp.clip((honest - supporters) / honest, edge, 1 - edge))


def alie(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    z: Number | None = 1.5,
    sign: Number = 1.0,
) -> jax.Array:
    """A little is enough: m = mu + sign * z * sigma, a shift that hides inside the honest spread.

    Args:
        key: unused.
        updates: [S, D].
        byzantine: [S] bool.
        context: mask.
        knowledge: "omniscient" (ByzFL) or "byzantine" (the paper's attacker).
        z: strength in standard deviations, 1.5 as in ByzFL; None takes `alie_z` from the rows
            present, as the paper and the entry "alie_paper" do.
        sign: +1 (ByzFL, Blades, NDSS21) or -1 (epfml).

    sigma divides by h - 1, as all released codes do; for one known row it is zero.
    Source: Baruch et al., NeurIPS 2019. Cost O(S D).
    """
    del key  # unused
    rows = known_rows(updates, byzantine, context, knowledge)
    here = present(updates, context)
    if z is None:
        z = alie_z(here.sum(), (byzantine & here).sum())
    mean = masked_mean(updates, rows)
    shift = sign * z * masked_std(updates, rows, mean)
    return write_rows(updates, byzantine, mean + shift, context, rows.any())


def gaussian(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    mean: Number = 0.0,
    std: Number = 1.0,
) -> jax.Array:
    """Pure noise in place of the update: m_i ~ N(mean, std^2 I), a draw of its own per attacker.

    Source: Xie et al. 2018 (generalized Byzantine-tolerant SGD). Defaults of ByzFL. Cost O(S D).
    """
    noise = jax.random.normal(key, updates.shape, updates.dtype)
    return write_rows(updates, byzantine, mean + std * noise, context)


def gaussian_add(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    std: Number = 1.0,
) -> jax.Array:
    """Noise on top of the attacker's own update: m_i = g_i + N(0, std^2 I) (as in FLANDERS)."""
    noise = jax.random.normal(key, updates.shape, updates.dtype)
    return write_rows(updates, byzantine, updates + std * noise, context)


def norm_inflation(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    scale: Number = 10.0,
) -> jax.Array:
    """Aimed at OSMD: an honest direction with an inflated norm, m_i = scale * g_i.

    OSMD samples in proportion to the norm, so a share f of such sellers ends with the sampling mass
    f c / (f c + 1 - f) for scale c. Our formulation. Cost O(S D).
    """
    del key  # unused
    return write_rows(updates, byzantine, scale * updates, context)


def norm_inflation_clip(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    knowledge: str = "omniscient",
    radius: Number = 1.5,
    margin: Number = 0.99,
) -> jax.Array:
    """Norm inflation that a clipping defence does not see: just below its radius.

    m_i = g_i / ||g_i|| * margin * radius * median of the known norms. A zero own update stays
    zero. Our formulation. Cost O(S D).
    """
    del key  # unused
    rows = known_rows(updates, byzantine, context, knowledge)
    lengths = row_norms(updates)
    target = margin * radius * masked_median(lengths, rows)
    factor = jnp.where(lengths > 0, target / jnp.where(lengths > 0, lengths, 1.0), 0.0)
    return write_rows(updates, byzantine, factor[:, None] * updates, context, rows.any())


def nan(
    key: Key, updates: jax.Array, byzantine: jax.Array, *, context: AttackContext = EMPTY
) -> jax.Array:
    """Every coordinate is NaN: must be excluded and counted before any rule."""
    del key  # unused
    return write_rows(updates, byzantine, jnp.full(updates.shape[1:], jnp.nan), context)


def inf(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    sign: Number = 1.0,
) -> jax.Array:
    """Every coordinate is +inf (sign 1, as in ByzFL) or -inf (sign -1)."""
    del key  # unused
    value = jnp.where(jnp.asarray(sign) < 0, -jnp.inf, jnp.inf)
    return write_rows(updates, byzantine, jnp.full(updates.shape[1:], value), context)


def huge(
    key: Key,
    updates: jax.Array,
    byzantine: jax.Array,
    *,
    context: AttackContext = EMPTY,
    value: Number = 1e30,
) -> jax.Array:
    """Every coordinate is `value`: finite itself, but its square overflows float32."""
    del key  # unused
    return write_rows(updates, byzantine, jnp.full(updates.shape[1:], value), context)
