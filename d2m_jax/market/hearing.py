"""One unit of work in dispute: who may complain, what the ledger books, every unit in turn.

Not here: what decides (`disputes.py`). Who may complain is prepared in `closing.py`; what a
booking moves is in `ledger/disputes.py`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from d2m_jax import cone
from d2m_jax import ledger as books
from d2m_jax.core.trees import choose
from d2m_jax.core.types import Key, Number
from d2m_jax.ledger import Ledger, Rules
from d2m_jax.market.decisions import RIGHT, as_decision
from d2m_jax.market.roles import ANYBODY


class Matter(NamedTuple):
    """One unit of work that may be disputed, and who may."""

    ledger: Ledger  # before anybody disputes it
    rules: Rules
    job: int | jax.Array  # slot
    unit: int | jax.Array  # a round, or the verification
    may_lie: bool | jax.Array  # [] bool, a right result of it may be disputed
    honest: jax.Array  # [C] bool, nodes that tell the truth
    loser: jax.Array  # [] int32, account that the verified metric leaves unpaid, or nobody
    vigilance: Number  # probability that the loser notices the wrong results of a job
    false_dispute: Number  # probability that it disputes a right one
    lots: tuple[jax.Array, jax.Array]  # [] uniform each, for these two; the same for all units
    again: Callable[[Key, Ledger], cone.Consensus]  # the vote of a fresh, larger set
    content: Callable[[jax.Array, jax.Array], jax.Array]  # (unit, accepted) -> [L] what it says
    block_time: ArrayLike  # seconds

    @property
    def result(self) -> jax.Array:
        """[] int32: the accepted digest."""
        return self.ledger.jobs.results[self.job, self.unit]

    @property
    def papers(self) -> jax.Array:
        """[C] int32: the digest that each node revealed for it."""
        return self.ledger.jobs.papers[self.job, self.unit]

    @property
    def has_reason(self) -> jax.Array:
        """[] bool: it is wrong."""
        return self.result > RIGHT

    def wants(self, is_noticed: jax.Array) -> jax.Array:
        """[] bool: somebody disputes: a wrong result if that is noticed, a right one to lie."""
        lies = jnp.asarray(self.may_lie) & (self.lots[1] < self.false_dispute)
        return jnp.where(self.has_reason, is_noticed, lies)


class Hearing(NamedTuple):
    """What came of it."""

    ledger: Ledger
    disputed: jax.Array  # [] bool
    upheld: jax.Array  # [] bool: the result was overturned
    messages: jax.Array  # [] int32, transactions that it took
    delay: jax.Array  # [] int32, blocks
    gas: jax.Array  # [] int32, of the messages to the court
    executed: jax.Array  # [C] bool, nodes of the pool that executed again


Dispute: TypeAlias = Callable[..., Hearing]  # `(key, matter, **numbers) -> Hearing`


def accuse(matter: Matter, actor: jax.Array, wants: jax.Array) -> tuple[Ledger, jax.Array]:
    """The dispute is opened.

    Returns:
        The ledger, and [] bool whether there is a dispute: somebody wants one and can pay.
    """
    opened, receipt = books.open_dispute(
        matter.ledger, matter.rules, actor=actor, job=matter.job, unit=matter.unit
    )
    disputed = wants & (receipt == books.Reason.OK)
    return choose(disputed, opened, matter.ledger), disputed


def hear(
    ledger: Ledger,
    matter: Matter,
    again: cone.Consensus,
    opened: jax.Array,
    blocks: jax.Array,
) -> tuple[Ledger, jax.Array]:
    """Books what was found: liars are slashed, who was outvoted and right is made whole.

    Without a decision the dispute stays open, times out, and the buyer is refunded.

    Args:
        ledger: with the dispute, if there is one.
        matter: what was disputed.
        again: what was accepted, by whom.
        opened: [] bool, whether there is a dispute; without one nothing happens.
        blocks: [] int32 that it took.

    Returns:
        The ledger and whether the result was overturned.
    """
    later, _ = books.advance(ledger, matter.rules, blocks=blocks)
    decision = as_decision(
        later, matter.job, again, matter.content(jnp.asarray(matter.unit), again.accepted)
    )
    booked, _ = books.book_dispute(
        later, matter.rules, actor=ANYBODY, job=matter.job, decision=decision
    )
    heard = choose(opened, booked, ledger)
    return heard, heard.jobs.results[matter.job, matter.unit] != matter.result


def hear_all(key: Key, matter: Matter, way: Dispute) -> tuple[Ledger, Hearing]:
    """Every unit with a wrong result is disputed, one after another.

    Where all are right the verification may be disputed, once, for no reason.

    Args:
        key: consumed.
        matter: of the job; its unit is the verification.
        way: decides about one unit, its numbers bound.

    Returns:
        The ledger, and what came of every unit: leaves with a leading axis of R + 1, no ledger.
    """
    wrong = matter.ledger.jobs.results[matter.job] > RIGHT
    num_units = wrong.shape[0]
    units = jnp.arange(num_units, dtype=jnp.int32)
    lies = ~wrong.any() & (units == matter.unit)
    disputable = wrong | lies

    def next_unit(after: jax.Array) -> jax.Array:
        """The first unit behind this one that somebody may dispute; beyond the last for none."""
        return jnp.where(disputable & (units > after), units, num_units).min()

    def turn(state: tuple[jax.Array, Ledger, Any]) -> tuple[jax.Array, Ledger, Any]:
        unit, ledger, found = state
        here = matter._replace(ledger=ledger, unit=unit, may_lie=lies[unit])
        heard: Any = way(jax.random.fold_in(key, unit), here)
        one = heard._replace(ledger=())
        found = jax.tree.map(lambda all_units, x: all_units.at[unit].set(x), found, one)
        return next_unit(unit), heard.ledger, found

    nothing = _of_all(undisputed(matter), num_units)
    first = next_unit(jnp.int32(-1)), matter.ledger, nothing
    _, ledger, found = jax.lax.while_loop(lambda state: state[0] < num_units, turn, first)
    return ledger, found


def unheard(matter: Matter) -> tuple[Ledger, Hearing]:
    """What `hear_all` gives where nobody disputes; without it a program compiles in half the time.

    `disputed` says which units the ways of `disputes.py` would hear: where there is one, the rest
    of what this gives is not what happens.

    Args:
        matter: of the job; its unit is the verification.

    Returns:
        The ledger as it was, and a hearing of every unit: leaves with a leading axis of R + 1.
    """
    jobs = matter.ledger.jobs
    is_open = jobs.phase[matter.job] == books.Phase.CHALLENGE
    wrong = jobs.results[matter.job] > RIGHT
    units = jnp.arange(wrong.shape[0], dtype=jnp.int32)
    lies = ~wrong.any() & (units == matter.unit) & (matter.lots[1] < matter.false_dispute)
    nothing = _of_all(undisputed(matter), wrong.shape[0])
    return matter.ledger, nothing._replace(disputed=is_open & (wrong | lies))


def _of_all(quiet: Any, num_units: int) -> Any:
    """Room for a hearing of every unit: zeros with a leading axis, no ledger."""
    leaves = quiet._replace(ledger=())
    return jax.tree.map(lambda x: jnp.zeros((num_units, *x.shape), x.dtype), leaves)


def undisputed(matter: Matter) -> Hearing:
    """Nobody says anything against the unit."""
    none = jnp.int32(0)
    nobody = jnp.zeros_like(matter.honest)
    return Hearing(matter.ledger, jnp.bool_(False), jnp.bool_(False), none, none, none, nobody)
