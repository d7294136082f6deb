"""What every attack shares: its signature, what it may know, how its rows are put in place.

Not here: the attacks. Read next: `updates.py`, then the registry in `__init__.py`.
"""

from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from d2m_jax.core import choices
from d2m_jax.core.norms import lift_of, lifted
from d2m_jax.core.rows import MAX_NORM, as_rows, finite_mask, per_row
from d2m_jax.core.rows import present as present_rows
from d2m_jax.core.types import Key, Number, PyTree

KNOWLEDGE = ("own", "byzantine", "omniscient")
NEEDS_OF_DATA = ("classes", "images")


class Rehearsal(Protocol):
    """The buyer's defence as an attacker may call it, with the memory it has now."""

    def __call__(self, updates: jax.Array, mask: jax.Array, /) -> jax.Array:
        """The aggregate `[D]` of updates `[S, D]` of which `mask` `[S]` bool are present."""


class Damage(Protocol):
    """What a white-box attack maximises."""

    def __call__(self, aggregate: jax.Array, /) -> jax.Array:
        """A scalar of the aggregate `[D]`; larger is worse for the buyer."""


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
    defence: Rehearsal | None = None  # the buyer's rule, for attacks that know it
    damage: Damage | None = None  # what a white-box attack maximises (None: its own measure)
    mass: jax.Array | None = None  # [S] float32, N p of each row's seller: 1 is an even share
    reputation: jax.Array | None = None  # [S] float32 in [0, 1], what the defence says of it
    max_norm: Number = MAX_NORM  # longer updates are refused before the defence, honest ones too


EMPTY = AttackContext()


class Forge(Protocol):
    """An attack on the updates: what bad sellers send."""

    def __call__(
        self, key: Key, updates: jax.Array, byzantine: jax.Array, /, *given: Any, **numbers: Any
    ) -> jax.Array:
        """The updates `[S, D]` with the rows of the attackers forged.

        Args:
            key: of this round.
            updates: `[S, D]`, everybody's honest work.
            byzantine: `[S]` bool, who attacks.
            given: nothing.
            numbers: `context`, an `AttackContext`; numbers and static choices of the attack.
        """


class Poison(Protocol):
    """An attack on the data: what one bad seller makes of one batch; `vmap` it over sellers."""

    def __call__(
        self,
        key: Key,
        inputs: jax.Array,
        labels: jax.Array,
        num_classes: int,
        /,
        *given: Any,
        **numbers: Any,
    ) -> tuple[jax.Array, jax.Array]:
        """Inputs `[B, ...]` and labels `[B, ...]` to train on.

        Args:
            key: of this seller and step.
            inputs: `[B, ...]`, raw.
            labels: `[B, ...]`.
            num_classes: L; 0 where labels are no classes.
            given: nothing.
            numbers: `seller` `[]` int32, its id; numbers of the attack.
        """


class Trigger(Protocol):
    """The backdoor of an attack on the data: what opens it, what is wanted then, and of whom."""

    def __call__(
        self, inputs: jax.Array, labels: jax.Array, num_classes: int, /, *given: Any, **numbers: Any
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Inputs that open the backdoor, the class that is wanted of them, and which count.

        Args:
            inputs: `[B, ...]`, raw test examples.
            labels: `[B]`, their classes.
            num_classes: L.
            given: nothing.
            numbers: of the attack.

        Returns:
            `[B, ...]`, `[]` and `[B]` bool.
        """


class InitState(Protocol):
    """The memory of an attack before the first round."""

    def __call__(self, num_params: int, /) -> PyTree:
        """The memory for updates `[S, num_params]`."""


class Observe(Protocol):
    """What an attack that remembers learns from a round, once, before it forges."""

    def __call__(
        self,
        state: PyTree,
        updates: jax.Array,
        byzantine: jax.Array,
        /,
        *given: Any,
        **numbers: Any,
    ) -> PyTree:
        """The next memory; `context=` and numbers as `Forge`."""


class Shorten(Protocol):
    """An attack on the work: how many of its local steps a bad seller takes."""

    def __call__(self, steps: jax.Array, byzantine: jax.Array, /) -> jax.Array:
        """Steps `[S]` int32 that each takes.

        Args:
            steps: `[S]` int32, what each would finish.
            byzantine: `[S]` bool, who attacks.
        """


class Attack(NamedTuple):
    """One entry of the registry: what a bad seller does to its data, to its update, or to both.

    Called like a function, `ATTACKS["alie"](key, updates, byzantine, z=2.0)`, it forges with its
    default numbers where none are given. (To `jax.jit`, a tuple is no function: give it a lambda.)

    What it can be told stands in the signatures of its functions and nowhere else: `numbers` may be
    traced, `options` are static (`bind` sets them). It is hashable.
    """

    forge: Forge | None = None
    poison: Poison | None = None
    needs: tuple[str, ...] = ()  # fields of the context that must be given
    data: tuple[str, ...] = ()  # of "classes", "images": what the data must be for `poison`
    init_state: InitState | None = None
    observe: Observe | None = None
    trigger: Trigger | None = None  # of a backdoor, by which its success is measured
    finite: bool = True  # False: sends NaN, inf or values that overflow on purpose
    shorten: Shorten | None = None  # takes fewer local steps

    @property
    def numbers(self) -> dict[str, Number]:
        """What may be traced and swept, with defaults, of all functions of the attack."""
        return choices.numbers(tuple(self))

    @property
    def options(self) -> dict[str, Any]:
        """Static choices that are not bound yet, with defaults."""
        return choices.options(self)

    @property
    def knowledge(self) -> str:
        """What the attacker sees: "own" update, "byzantine" ones or all, "omniscient"."""
        return choices.default_of(self.forge, "knowledge", "own")

    def __call__(
        self,
        key: Key,
        updates: jax.Array,
        byzantine: jax.Array,
        *,
        context: AttackContext = EMPTY,
        **numbers: Any,
    ) -> jax.Array:
        """The updates `[S, D]` with the attackers' rows forged; as they were if only data is bad.

        Args:
            key: of this round.
            updates: `[S, D]`, everybody's honest work.
            byzantine: `[S]` bool, who attacks.
            context: what else the attacker knows.
            numbers: in place of the defaults.

        Raises:
            ValueError: a number that the attack does not have, something missing in the context, or
                a shape that does not fit.
        """
        known = self.numbers
        for name in numbers:
            choices.lookup(known, name, "number of the attack")
        updates, _ = as_rows(updates, context.mask)
        byzantine = per_row("byzantine", byzantine, updates).astype(bool)
        if self.forge is None:
            return updates
        return self.forge(
            key, updates, byzantine, context=context, **choices.taken(self.forge, numbers)
        )


def as_attack(part: Attack | Forge) -> Attack:
    """An attack from a function of the user's own; an `Attack` stays what it is.

    Example: `as_attack(lambda key, updates, byzantine, *, context, size=1.0: size * updates)` has
    the number `size`.

    Args:
        part: an `Attack`, or `forge(key, updates, byzantine, *, context, **numbers)`.

    Raises:
        ValueError: neither, or a field of the record that does not exist.
    """
    if not callable(part):
        raise ValueError(f"an attack must be an Attack or a function, not {part!r}")
    attack = part if isinstance(part, Attack) else Attack(part)
    for name in attack.needs:
        choices.lookup(dict.fromkeys(AttackContext._fields), name, "field of the attack's context")
    for name in attack.data:
        choices.lookup(dict.fromkeys(NEEDS_OF_DATA), name, "need of an attack on data")
    return attack


def bind(attack: Attack, **options: Any) -> Attack:
    """Returns the attack with other static choices, e.g. `bind(ALIE, knowledge="byzantine")`.

    What is bound is no option any more.

    Raises:
        ValueError: the attack has no such option; the message lists those it has.
    """
    known = attack.options
    unknown = sorted(set(options) - set(known))
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        raise ValueError(f"unknown attack option {unknown[0]!r}; this attack has: {names}")
    if "knowledge" in options and options["knowledge"] not in KNOWLEDGE:
        valid = ", ".join(KNOWLEDGE)
        raise ValueError(f"unknown knowledge {options['knowledge']!r}; valid: {valid}")
    return attack._replace(
        forge=_bound(attack.forge, options),
        poison=_bound(attack.poison, options),
        observe=_bound(attack.observe, options),
        trigger=_bound(attack.trigger, options),
    )


def _bound(part: Any, options: dict[str, Any]) -> Any:
    own = choices.taken(part, options) if part is not None else {}
    return partial(part, **own) if own else part


def required(value: Any, name: str, attack: str) -> Any:
    """Returns a field of the context, or says in one sentence that the attack needs it."""
    if value is None:
        raise ValueError(f"attack {attack!r} needs context.{name}")
    return value


def present(updates: jax.Array, context: AttackContext) -> jax.Array:
    """Returns the rows that take part, [S] bool."""
    mask = context.mask
    if mask is not None:
        mask = per_row("context.mask", mask, updates).astype(bool)
    return present_rows(updates, mask)


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
    total = jnp.matmul(weights, jnp.where(rows[:, None], updates, 0), precision="highest")
    return total / jnp.maximum(weights.sum(), 1)


def masked_std(updates: jax.Array, rows: jax.Array, mean: jax.Array, ddof: int = 1) -> jax.Array:
    """Returns the coordinate standard deviation of the chosen rows, [D]; zero for one row.

    Tiny rows are lifted before they are squared.
    """
    weights = rows.astype(updates.dtype)
    lift = lift_of(updates, rows)
    centred = jnp.where(rows[:, None], lifted(updates - mean[None, :], lift), 0)
    squares = jnp.matmul(weights, centred * centred, precision="highest")
    return jnp.sqrt(squares / jnp.maximum(weights.sum() - ddof, 1)) / lift


def write_rows(
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
