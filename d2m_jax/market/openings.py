"""Units that have to show what they hold: openings drawn after the match, and what looks false.

After the match `spec.openings` places of every unit are drawn, and their examples shown to CONE
with the proof that they are leaves of the unit's root. An opening looks false when it is

    copied   so much nearer to an opened example of an earlier unit than to the third nearest one of
             other units as none of the buyer's examples is
    mixed    so near to the plane of two of them as none of the buyer's examples is
    foreign  farther from the buyer's examples than any of these is from the others

The buyer's examples are real and nobody's copies, so they say what is usual: of V of them, an
honest opening is beyond each bound with a chance of about 1 / (V + 1). A unit with more than
`conduct.tolerated_openings` of one kind trains nothing, and the verification names it among the
harmful, which costs it its pledge. What is made of real examples and is no nearer to them than they
are to each other passes. Our choice, the ratio of distances as in Lowe 2004 (section 7.1, matching
of features); read first: `units.py`.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import privacy
from d2m_jax.core.norms import unit
from d2m_jax.core.types import Batch, Key, Number
from d2m_jax.data import FederatedData
from d2m_jax.market.units import unit_size
from d2m_jax.tasks import Model

_MARGIN = 1e-2  # of ratios, far beyond rounding
_TINY = 1e-6
_NEAR = 8  # neighbours among which the two parents of a mixture are sought
_STEPS = (-1, 0, 1)  # pixels by which a copied image may be moved
_NEVER = -2.0  # below every likeness


def survival(unit_size: int, false: int, openings: int, tolerated: int = 0) -> float:
    """Probability that a unit is not found out: that few enough false examples are opened.

        sum over j <= tolerated of C(m, j) C(n - m, o - j) / C(n, o)

    of n examples with m false ones and o openings (hypergeometric). For copies, m = o: what counts
    is how many of the openings meet an opened original, of which there are o among n.

    Args:
        unit_size: n.
        false: m, each of them known for what it is once opened.
        openings: o, at most n.
        tolerated: so many false ones are let pass.
    """
    ways = sum(
        math.comb(false, j) * math.comb(unit_size - false, openings - j)
        for j in range(min(tolerated, openings) + 1)
    )
    return ways / math.comb(unit_size, openings)


def draw_places(key: Key, num_units: int, size: int, openings: int) -> jax.Array:
    """[U, o] int32: distinct places of each unit, all sets of them alike.

    Args:
        key: consumed; fixed after the match, when nobody can change a unit any more.
        num_units: U, static.
        size: n, static.
        openings: o, static, at most n.
    """
    return jnp.argsort(jax.random.uniform(key, (num_units, size)))[:, :openings].astype(jnp.int32)


def features_of(model: Model, batch: Batch, data: FederatedData) -> jax.Array:
    """[B, ...] float32: what examples are compared by, whatever their labels.

    Prepared inputs (tokens as they are); of a batch without `inputs` all its floating leaves.
    """
    prepared = model.prepare(batch, data.stats)
    if isinstance(prepared, dict) and "inputs" in prepared:
        inputs = jnp.asarray(prepared["inputs"])
        if jnp.issubdtype(inputs.dtype, jnp.integer):
            buckets = jax.nn.one_hot(inputs % 32, 32, dtype=jnp.float32)  # of token by place
            return buckets.reshape(inputs.shape[0], -1)
        return inputs.astype(jnp.float32)
    leaves = [
        leaf for leaf in jax.tree.leaves(prepared) if jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    rows = [leaf.reshape(leaf.shape[0], -1).astype(jnp.float32) for leaf in leaves]
    return jnp.concatenate(rows, axis=1)


def likeness(one: jax.Array, other: jax.Array, centre: jax.Array) -> jax.Array:
    """[A, B] cosines of examples about a centre; of images the largest over steps of a pixel.

    Args:
        one: [A, ...]; of images, [A, H, W, C], these are moved.
        other: [B, ...].
        centre: [...] mean of real examples.
    """
    fixed = unit((other - centre[None]).reshape(other.shape[0], -1))
    moves = [(y, x) for y in _STEPS for x in _STEPS] if one.ndim == 4 else [(0, 0)]

    def nearer(best: jax.Array, move: jax.Array) -> tuple[jax.Array, None]:
        moved = jnp.roll(one, move, (1, 2)) if one.ndim == 4 else one
        rows = unit((moved - centre[None]).reshape(one.shape[0], -1))
        return jnp.maximum(best, jnp.matmul(rows, fixed.T, precision="highest")), None

    start = jnp.full((one.shape[0], other.shape[0]), _NEVER, fixed.dtype)
    return jax.lax.scan(nearer, start, jnp.asarray(moves, jnp.int32))[0]


def distances(one: jax.Array, other: jax.Array) -> jax.Array:
    """[A, B] Euclidean distances of examples [A, ...] and [B, ...]."""
    a, b = one.reshape(one.shape[0], -1), other.reshape(other.shape[0], -1)
    squares = jnp.square(a).sum(1)[:, None] + jnp.square(b).sum(1)[None, :]
    inner = jnp.matmul(a, b.T, precision="highest")
    return jnp.sqrt(jnp.maximum(squares - 2 * inner, 0.0))


def closeness(alike: jax.Array) -> jax.Array:
    """[A] distance of the nearest over that of the third nearest, of likenesses [A, B]; 1: no less.

    The third one, so that two copies do not hide each other.
    """
    nearest = jax.lax.top_k(alike, 3)[0]
    distances = jnp.sqrt(jnp.maximum(2 - 2 * nearest, 0.0))
    return distances[:, 0] / jnp.maximum(distances[:, 2], _TINY)


class Between(NamedTuple):
    """How examples lie to two others."""

    ratio: jax.Array  # [A] distance from the plane of two near ones over that of the third nearest
    latest: jax.Array  # [A] int32, the later place of these two


def between(alike: jax.Array, gram: jax.Array) -> Between:
    """Of the eight nearest ones, the two between or beside which an example lies most closely.

    The square of the cosine with the plane of two is (s^2 + t^2 - 2 s t g) / (1 - g^2), with the
    cosines s and t with each and g between them.

    Args:
        alike: [A, B] cosines with examples in the order of their listing, -2 for those left out.
        gram: [B, B] cosines between these.
    """
    near, places = jax.lax.top_k(alike, _NEAR)
    one, two = (jnp.asarray(x) for x in np.triu_indices(_NEAR, 1))
    s, t, g = near[:, one], near[:, two], gram[places[:, one], places[:, two]]
    apart = jnp.square(g) < 1 - _MARGIN
    inside = (s * s + t * t - 2 * s * t * g) / jnp.where(apart, 1 - g * g, 1.0)
    inside = jnp.where(apart & (t > _NEVER), inside, s * s)
    best = inside.argmax(1)[:, None]
    residual = jnp.sqrt(jnp.maximum(1 - inside.max(1), 0.0))
    third = jnp.sqrt(jnp.maximum(2 - 2 * near[:, 2], 0.0))
    pair = jnp.maximum(places[:, one], places[:, two])
    latest = jnp.take_along_axis(pair, best, 1)[:, 0]
    return Between(residual / jnp.maximum(third, _TINY), latest)


class Looks(NamedTuple):
    """Which openings look false, [U, o] bool each."""

    copied: jax.Array
    mixed: jax.Array
    foreign: jax.Array


def looks_false(opened: jax.Array, real: jax.Array, there: jax.Array) -> Looks:
    """Holds the openings of all units against each other and against the buyer's examples.

    Args:
        opened: [U, o, ...] features, in the order of listing, U o at least 8. Where fewer than
            three openings of other units are there, nothing is copied or mixed.
        real: [V, ...] features of the buyer's examples, V at least 2.
        there: [U] bool, units that there are.

    Cost: (U o)^2 inner products, ten of them for images.
    """
    num, shown = opened.shape[:2]
    flat, centre = opened.reshape(num * shown, *opened.shape[2:]), real.mean(0)
    whose, counts = jnp.repeat(jnp.arange(num), shown), jnp.repeat(there, shown)
    others = counts[None, :] & (whose[None, :] != whose[:, None])
    enough = others.sum(1, dtype=jnp.int32) >= 3  # for the third nearest

    among = jnp.where(others, likeness(flat, flat, centre), _NEVER)
    usual = closeness(jnp.where(counts[None, :], likeness(real, flat, centre), _NEVER)).min()
    nearer = closeness(among) < usual - _MARGIN
    copied = enough & (whose[among.argmax(1)] < whose) & nearer

    rows = unit((flat - centre[None]).reshape(flat.shape[0], -1))
    buyers = unit((real - centre[None]).reshape(real.shape[0], -1))
    gram = jnp.matmul(rows, rows.T, precision="highest")
    beside = jnp.matmul(buyers, rows.T, precision="highest")
    usual = between(jnp.where(counts[None, :], beside, _NEVER), gram).ratio.min()
    made = between(jnp.where(others, gram, _NEVER), gram)
    mixed = enough & (whose[made.latest] < whose) & (made.ratio < usual - _MARGIN)

    itself = jnp.eye(real.shape[0], dtype=bool)
    apart = jnp.where(itself, jnp.inf, distances(real, real)).min(1).max()
    foreign = distances(flat, real).min(1) > apart * (1 + _MARGIN)
    found = Looks(copied, mixed, foreign)
    return jax.tree.map(lambda x: (x & counts).reshape(num, shown), found)


class Shown(NamedTuple):
    """What the units of a market had to show."""

    places: jax.Array  # [U, o] int32, of the opened examples
    found_out: jax.Array  # [U] bool, too many of them look false


def examples_at(data: FederatedData, units: jax.Array, places: jax.Array) -> Batch:
    """The examples of these units [S] at these places [S, o], leaves [S, o, ...]."""
    found: Batch = jax.vmap(data.examples_of)(units, places)
    return privacy.release(found, "openings")


def examine(model: Model, key: Key, data: FederatedData, openings: int, tolerated: Number) -> Shown:
    """Draws the openings of all units, and looks at them; without openings nobody is found out.

    Raises:
        ValueError: more openings than examples, or fewer than two of the buyer's.
    """
    num = data.sizes.shape[-1]
    if not openings:
        return Shown(jnp.zeros((num, 0), jnp.int32), jnp.zeros(num, bool))
    if openings > unit_size(data):
        raise ValueError(
            f"spec.openings = {openings} is more than the {unit_size(data)} examples of a unit: "
            "lower it or raise data.unit_size"
        )
    there = data.sizes > 0
    places = draw_places(key, num, unit_size(data), openings)
    shown = examples_at(data, jnp.arange(num, dtype=jnp.int32), places)
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), shown)
    features = features_of(model, flat, data)
    opened = features.reshape(num, openings, *features.shape[1:])
    real = features_of(model, data.correction, data)
    if real.shape[0] < 2:
        raise ValueError(
            "openings of units are held against the buyer's examples: set data.num_validation to 4 "
            "or more, or spec.openings to 0"
        )
    false = jax.tree.map(lambda x: x.sum(1, dtype=jnp.int32), looks_false(opened, real, there))
    return Shown(places, jnp.stack(false).max(0) > tolerated)


def expected_false_alarms(num_real: int, openings: int, tolerated: int) -> float:
    """Bound on the chance that an honest unit is found out, were its openings independent.

    P(more than `tolerated` of o are beyond a bound), each with chance 1 / (V + 1), three bounds.

    Args:
        num_real: V.
        openings: o.
        tolerated: openings that may look false.
    """
    chance = 1 / (num_real + 1)
    few = sum(
        math.comb(openings, j) * chance**j * (1 - chance) ** (openings - j)
        for j in range(min(tolerated, openings) + 1)
    )
    return float(np.clip(3 * (1 - few), 0.0, 1.0))
