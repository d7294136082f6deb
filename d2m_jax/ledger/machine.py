"""Ledger and votes as one state machine: `apply` for one action, `run_trace` for many.

For code that knows the kind of action at trace time the transitions are called directly. Read next:
`audit.py`.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct

from d2m_jax.core.trees import choose
from d2m_jax.ledger import votes
from d2m_jax.ledger.accounts import check_actor, first_failure, integer
from d2m_jax.ledger.actions import Action
from d2m_jax.ledger.codes import Kind, Reason
from d2m_jax.ledger.decisions import decision_of, electorate, wanted
from d2m_jax.ledger.moves import BOOKINGS, LEDGER_MOVES
from d2m_jax.ledger.rules import Rules
from d2m_jax.ledger.state import Layout, Ledger, Result, new_ledger
from d2m_jax.ledger.votes_state import Counted, Terms, Votes, new_votes


@struct.dataclass
class Chain:
    """All there is: the money with its promises, and the votes."""

    ledger: Ledger
    votes: Votes


@struct.dataclass
class Laws:
    """The numbers that both go by; see `check_laws`."""

    rules: Rules
    terms: Terms


Receipted: TypeAlias = tuple[Chain, jax.Array]  # of an action: after it, and the receipt [] int32


def new_chain(layout: Layout, **funds: Any) -> Chain:
    """A chain at block 0 on which nothing has been done; the funds are those of `new_ledger`."""
    ballots = new_votes(layout.num_jobs, layout.num_nodes, layout.num_sellers)
    return Chain(new_ledger(layout, **funds), ballots)


def check_laws(layout: Layout, laws: Laws) -> None:
    """Checks on the host that rules and terms go together, and fit the layout.

    Raises:
        ValueError: another number of rounds, commitments in the block of the draw alone (who draws
            last in a block would vote alone), contents that are void before they can be opened, or
            a time-out before a vote can have come to its end.
    """
    rules, terms = laws.rules, laws.terms
    rounds, told = min(int(rules.num_rounds), layout.num_units - 1), int(terms.num_rounds)
    if told != rounds:
        raise ValueError(f"the terms of the votes must be for {rounds} rounds, got {told}")
    if int(terms.commit_window) < 2:
        raise ValueError("commit_window must be at least 2 blocks: in one, who draws votes alone")
    windows, told_by = int(terms.commit_window) + int(terms.reveal_window), rules.content_window
    if int(told_by) <= windows:
        raise ValueError(
            f"rule content_window must be more than the {windows} blocks of a set, got {told_by}"
        )
    longest = (terms.ends.shape[-1] - 1) * windows + int(told_by)
    if int(rules.timeout) <= longest:
        raise ValueError(
            f"rule timeout must be more than the {longest} blocks of a vote and its content, got "
            f"{rules.timeout}"
        )


def apply(chain: Chain, laws: Laws, action: Action) -> Receipted:
    """One action on ledger and votes.

    A refused action changes nothing; the receipt says which check failed first (`describe`). The
    order of checks is in the docstring of each transition; an action of the votes by who is no
    account is UNKNOWN_PARTY before all others. A kind outside `Kind` gets UNKNOWN_ACTION.

    Args:
        chain: before.
        laws: rules of the ledger and terms of the votes.
        action: what, by whom, on what.

    Returns:
        The chain after, and the receipt: [] int32, see `Reason`.

    Cost: one branch of two `lax.switch`; under `vmap` over kinds all branches run.
    """
    on_ledger = [_ledger_branch(kind) for kind in LEDGER_MOVES]
    on_votes = [_vote_branch(kind) for kind in VOTE_MOVES]
    first = min(VOTE_MOVES)
    ledger, of_ledger = jax.lax.switch(
        _branch(action.kind, len(on_ledger)),
        [*on_ledger, lambda c, *_: (c.ledger, integer(Reason.UNKNOWN_ACTION))],
        *(chain, laws, action),
    )
    counted, of_votes = jax.lax.switch(
        _branch(action.kind - first, len(on_votes)),
        [*on_votes, lambda c, *_: (c.votes, integer(Reason.UNKNOWN_ACTION))],
        *(chain, laws, action),
    )
    is_vote = (action.kind >= first) & (action.kind < first + len(on_votes))
    return Chain(ledger, counted), jnp.where(is_vote, of_votes, of_ledger)


def run_trace(chain: Chain, laws: Laws, actions: Action) -> Receipted:
    """Applies a trace of actions in order, by `lax.scan`.

    Args:
        chain: before.
        laws: rules of the ledger and terms of the votes.
        actions: an Action whose leaves carry a leading axis [steps].

    Returns:
        The chain after, and the receipts [steps] int32.
    """

    def step(state: Chain, action: Action) -> Receipted:
        return apply(state, laws, action)

    return jax.lax.scan(step, chain, actions)


def _branch(place: jax.Array, number: int) -> jax.Array:
    """The branch at this place, or the one after all others."""
    return jnp.where((place >= 0) & (place < number), place, number)


def _ledger_branch(kind: Kind) -> Callable[[Chain, Laws, Action], Result]:
    move, fields = LEDGER_MOVES[kind]

    def branch(chain: Chain, laws: Laws, action: Action) -> Result:
        options = fields(action)
        if kind in BOOKINGS:
            options["decision"] = decision_of(chain.votes, action.job)
        return move(chain.ledger, laws.rules, **options)

    return branch


def _vote_branch(kind: Kind) -> Callable[[Chain, Laws, Action], Counted]:
    def branch(chain: Chain, laws: Laws, action: Action) -> Counted:
        after, reason = VOTE_MOVES[kind](chain, laws, action)
        stranger = first_failure([check_actor(chain.ledger, action.actor)])
        is_known = stranger == Reason.OK
        return choose(is_known, after, chain.votes), jnp.where(is_known, reason, stranger)

    return branch


def _open_unit(c: Chain, laws: Laws, a: Action) -> Counted:
    serial, unit = wanted(c.ledger, laws.rules, a.job)
    stakes = electorate(c.ledger, a.job)
    return votes.open_unit(c.votes, laws.terms, job=a.job, serial=serial, unit=unit, stakes=stakes)


def _draw(c: Chain, laws: Laws, a: Action) -> Counted:
    seats = a.payload[: c.ledger.num_nodes]
    return votes.draw(c.votes, laws.terms, block=c.ledger.block, job=a.job, seats=seats)


def _ballot(c: Chain, a: Action) -> dict[str, jax.Array]:
    node = a.actor - c.ledger.layout.nodes.start
    return {"block": c.ledger.block, "job": a.job, "node": node}


def _commit_vote(c: Chain, laws: Laws, a: Action) -> Counted:
    return votes.commit_vote(c.votes, laws.terms, **_ballot(c, a), commitment=a.value)


def _reveal_vote(c: Chain, laws: Laws, a: Action) -> Counted:
    opened = {"digest": a.value, "salt": a.extra[0]}
    return votes.reveal_vote(c.votes, laws.terms, **_ballot(c, a), **opened)


def _tally(c: Chain, laws: Laws, a: Action) -> Counted:
    return votes.tally(c.votes, laws.terms, block=c.ledger.block, job=a.job)


def _open_content(c: Chain, laws: Laws, a: Action) -> Counted:
    content = a.payload[: c.votes.content.shape[1]]
    return votes.open_content(c.votes, laws.terms, job=a.job, content=content)


VOTE_MOVES = {
    Kind.OPEN_UNIT: _open_unit,
    Kind.DRAW: _draw,
    Kind.COMMIT_VOTE: _commit_vote,
    Kind.REVEAL_VOTE: _reveal_vote,
    Kind.TALLY: _tally,
    Kind.OPEN_CONTENT: _open_content,
}
