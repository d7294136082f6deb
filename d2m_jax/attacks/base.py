"""What every attack shares: its signature, what it may know, how its rows are put in place.

Not here: the attacks. Read next: `updates.py`, then the registry in `__init__.py`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.choices import lookup
from d2m_jax.core.rows import MAX_NORM, as_rows, finite_mask, per_row
from d2m_jax.core.types import Key, Number, PyTree

KNOWLEDGE = ("own", "byzantine", "omniscient")

Defence = Callable[[jax.Array, jax.Array], jax.Array]  # (updates [S, D], mask [S]) -> [D]
Damage = Callable[[jax.Array], jax.Array]  # aggregate [D] -> scalar, larger is worse for the buyer


class AttackContext(NamedTuple):
    """What an attack may look at beside the round's updates; every field is optional.

    Build it inside the traced function (`defence` and `damage` are Python callables, not arrays).
    """

    previous: jax.Array | None = None  # [D] float32, the aggregate of the round before
    round_index: jax.Array | int | None = None  # [] int32, from 0
    mask: jax.Array | None = None  # [S] bool, rows that are present (None: all)
    ids: jax.Array | None = None  # [S] int32, which seller each row is (None: the row number)
    tolerated_f: jax.Array | int | None = None  # what the defence was told (None: the real number)
    state: PyTree = None  # what `Attack.observe` returned, for attacks that remember
    defence: Defence | None = None  # the buyer's rule, for attacks that know it
    damage: Damage | None = None  # what a white-box attack maximises (None: its own measure)
    max_norm: Number = MAX_NORM  # longer updates are refused before the defence, honest ones too


EMPTY = AttackContext()


class Attack(NamedTuple):
    """One entry of the registry: what a bad seller does to its data, to its update, or to both.

    Called like a function, `ATTACKS["alie"](key, updates, byzantine, z=2.0)`, it forges with its
    default numbers where none are given. (To `jax.jit`, a tuple is no function: give it a lambda.)

    `forge(key, updates [S, D], byzantine [S], *, context, **options, **hyper) -> updates [S, D]`
    `poison(key, images, labels, num_classes, *, seller, **hyper) -> (images, labels)`
    `init_state(num_params) -> state` and `observe(state, updates, byzantine, *, context, **hyper)
    -> state`, called once a round before `forge`, only for attacks that remember.

    Both parts take the same `hyper`: numbers, which may be traced. `options` are static choices.
    """

    forge: Callable[..., jax.Array] | None = None
    poison: Callable[..., tuple[jax.Array, jax.Array]] | None = None
    hyper: Mapping[str, float] = {}  # default numbers; these keys are what a config may set
    options: Mapping[str, Any] = {}  # default static choices: knowledge, preset, number of steps
    needs: tuple[str, ...] = ()  # fields of the context that must be given
    knowledge: str = "own"  # what the attacker sees with the default options
    init_state: Callable[[int], PyTree] | None = None
    observe: Callable[..., PyTree] | None = None
    finite: bool = True  # False: sends NaN, inf or values that overflow on purpose

    def __call__(
        self,
        key: Key,
        updates: jax.Array,
        byzantine: jax.Array,
        *,
        context: AttackContext = EMPTY,
        **hyper: Any,
    ) -> jax.Array:
        """The updates `[S, D]` with the attackers' rows forged; as they were if only data is bad.

        Args:
            key: of this round.
            updates: `[S, D]`, everybody's honest work.
            byzantine: `[S]` bool, who attacks.
            context: what else the attacker knows.
            hyper: numbers, in place of the defaults.

        Raises:
            ValueError: a number that the attack does not have, something missing in the context, or
                a shape that does not fit.
        """
        for name in hyper:
            lookup(self.hyper, name, "number of the attack")
        updates, _ = as_rows(updates, context.mask)
        byzantine = per_row("byzantine", byzantine, updates).astype(bool)
        if self.forge is None:
            return updates
        return self.forge(key, updates, byzantine, context=context, **{**self.hyper, **hyper})


def bind(attack: Attack, **options: Any) -> Attack:
    """Returns the attack with other static choices, e.g. `bind(ALIE, knowledge="byzantine")`.

    Raises:
        ValueError: the attack has no such option; the message lists those it has.
    """
    unknown = sorted(set(options) - set(attack.options))
    if unknown:
        known = ", ".join(sorted(attack.options)) or "none"
        raise ValueError(f"unknown attack option {unknown[0]!r}; this attack has: {known}")
    if not options:
        return attack
    knowledge = options.get("knowledge", attack.knowledge)
    if knowledge not in KNOWLEDGE:
        raise ValueError(f"unknown knowledge {knowledge!r}; valid: {', '.join(KNOWLEDGE)}")
    bound = {
        name: partial(part, **options)
        if part is not None and name in ("forge", "observe")
        else part
        for name, part in attack._asdict().items()
    }
    return Attack(**{**bound, "options": {**attack.options, **options}, "knowledge": knowledge})


def required(value: Any, name: str, attack: str) -> Any:
    """Returns a field of the context, or says in one sentence that the attack needs it."""
    if value is None:
        raise ValueError(f"attack {attack!r} needs context.{name}")
    return value


def present(updates: jax.Array, context: AttackContext) -> jax.Array:
    """Returns the rows that take part, [S] bool."""
    if context.mask is None:
        return jnp.ones(updates.shape[0], bool)
    return per_row("context.mask", context.mask, updates).astype(bool)


def known_rows(
    updates: jax.Array, byzantine: jax.Array, context: AttackContext, knowledge: str
) -> jax.Array:
    """Returns the rows from which honest behaviour may be estimated, [S] bool.

    "omniscient": the honest rows. "byzantine": the attackers' own updates, as computed honestly
    before the attack. Rows that are absent, not finite or too long for the defence are left out,
    so that an honest seller that diverged does not turn the attack into NaN.

    Raises:
        ValueError: knowledge is neither of the two ("own" is one row: it has no statistics).
    """
    if knowledge not in ("byzantine", "omniscient"):
        raise ValueError(
            f"knowledge {knowledge!r} is not usable here; valid: byzantine, omniscient"
        )
    rows = byzantine if knowledge == "byzantine" else ~byzantine
    return finite_mask(updates, rows & present(updates, context), limit=context.max_norm)


def masked_mean(updates: jax.Array, rows: jax.Array) -> jax.Array:
    """Returns the mean of the chosen rows, [D]; zero when there are none. A matmul: O(S D)."""
    weights = rows.astype(updates.dtype)
    total = jnp.matmul(weights, jnp.where(rows[:, None], updates, 0.0), precision="highest")
    return total / jnp.maximum(weights.sum(), 1.0)


def masked_std(updates: jax.Array, rows: jax.Array, mean: jax.Array, ddof: int = 1) -> jax.Array:
    """Returns the coordinate standard deviation of the chosen rows, [D]; zero for one row."""
    weights = rows.astype(updates.dtype)
    centred = jnp.where(rows[:, None], updates - mean[None, :], 0.0)
    squares = jnp.matmul(weights, centred * centred, precision="highest")
    return jnp.sqrt(squares / jnp.maximum(weights.sum() - ddof, 1.0))


def norms(updates: jax.Array) -> jax.Array:
    """Returns the Euclidean norm of each row, [S]."""
    return jnp.sqrt(jnp.sum(updates * updates, axis=1))


def place(
    updates: jax.Array,
    byzantine: jax.Array,
    forged: jax.Array,
    context: AttackContext,
    valid: jax.Array | bool = True,
) -> jax.Array:
    """Writes the forged rows of the attackers that are present; nothing when `valid` is False.

    Args:
        updates: [S, D].
        byzantine: [S] bool.
        forged: [S, D], or [D] when all attackers send the same vector.
        context: gives the mask of present rows.
        valid: [] bool, whether the attack knew enough to be computed.

    Returns:
        [S, D], the rows of others bit for bit as they were.

    Raises:
        ValueError: `byzantine` of another length.
    """
    per_row("byzantine", byzantine, updates)
    if forged.ndim == 1:
        forged = forged[None, :]
    write = byzantine & present(updates, context) & valid
    return jnp.where(write[:, None], forged.astype(updates.dtype), updates)
