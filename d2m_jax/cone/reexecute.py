"""The slow, literal mode: every member of a set recomputes the round and hashes the model.

On the host, with real digests, commitments and salts. It draws the same sets as `decide` from the
same key and applies the same stop rules to what was revealed, so both accept the same results; the
tests hold them to it. Read first: `consensus.py`, `hashing.py`.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.cone.behaviours import Behaviour
from d2m_jax.cone.hashing import (
    commitment,
    equivocators,
    result_digest,
    rice_chain,
    set_seed,
    sha,
)
from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.schedules import Schedule, default_attempts, schedule_of
from d2m_jax.cone.sortition import Sets, SortitionChoice, draw_sets, max_voters
from d2m_jax.cone.stop_rules import StopChoice, StopRule, Tally, apply_rule, stop_rule_of
from d2m_jax.core.outcomes import Outcome
from d2m_jax.core.types import Key

# node -> checkpoints [L, D] of the round, last = result; `(node, updates)` where they are served
Compute: TypeAlias = Callable[..., np.ndarray]
# votes of the sets so far -> accepted digest or None, whether it is over, the lead
Referee: TypeAlias = Callable[[list[Counter[bytes]]], tuple[bytes | None, bool, int]]


@dataclasses.dataclass(frozen=True)
class Ballot:
    """What a node reveals, and the checkpoints with which it can open its salted digest."""

    promise: bytes  # committed before anybody in the set revealed
    node: int
    digest: bytes  # unsalted, counted over all sets
    salted: bytes  # RICE chain of this set; empty without RICE
    nonce: bytes
    checkpoints: np.ndarray | None  # [L, D]; None for a copier, who has nothing to show


@dataclasses.dataclass(frozen=True)
class Reexecution:
    """What the literal vote came to; compare `Consensus`."""

    digest: bytes | None  # the accepted one, None when undecided
    theta: np.ndarray | None  # [D], the model that belongs to it
    attempts: int
    executions: int
    outcome: np.ndarray  # [C] int32, codes of `Outcome`
    lead: int
    caught: np.ndarray  # [S] bool, sellers that served other bytes than they published


def reexecute(
    key: Key,
    compute: Compute,
    behaviour: np.ndarray,
    eligible: np.ndarray,
    params: ConeParams,
    *,
    job: int = 0,
    unit: int = 0,
    schedule: Schedule = "exponential",
    stop_rule: StopChoice = "lead",
    sortition: SortitionChoice = "uniform",
    rice: bool = True,
    max_attempts: int | None = None,
    stake: np.ndarray | None = None,
    group: np.ndarray | None = None,
    wrong: Callable[[int], np.ndarray] | None = None,
    published: Sequence[bytes] = (),
    served: Callable[[int], np.ndarray] | None = None,
) -> Reexecution:
    """One unit of work, node by node: draw, compute, commit, reveal, open, count, stop.

    A ballot counts when it matches the node's commitment and, with RICE, when its checkpoints open
    the salted digest. (A contract would ask for the opening only where it is needed: when a voter
    is alone in its set or salted digests differ.)

    A seller that serves different bytes to different nodes would split honest digests. So sellers
    publish a hash of each update first, and all eligible nodes compare what they got before the
    first set computes: hashing is cheap, and a fault that only a later set met would void the votes
    of the earlier ones. One complaint proves the fault, then the row is missing for everybody (our
    choice). The caller is told who it was, and may flag, ban or slash.

    Args:
        key: the same as for `decide`.
        compute: re-executes the round for a node, `node -> [L, D]`, or `(node, updates) -> [L, D]`
            when `served` is given: what the node got, `[S, D]`, with NaN in the rows of sellers
            that were caught (`train_round` refuses such rows). Pure.
        behaviour: `[C]` codes of `Behaviour`. Lone liars shift the right result by a number of
            their own.
        eligible: `[C] bool`.
        params: numbers.
        job: part of every digest and seed.
        unit: part of every digest and seed, usually the round.
        schedule, stop_rule, sortition, rice, max_attempts, stake, group: as for `decide`.
        wrong: what a group of colluders agreed on, `group -> [L, D]`; None: the right result with
            the group's number added.
        published: S hashes, from `published_hash`.
        served: what a node got from the sellers, `node -> [S, D] float32`.

    Returns:
        A `Reexecution`. Cost: one `compute` and a few SHA-256 of 4 D bytes per seat, and S hashes
        of 4 D bytes per eligible node where updates are served.

    Raises:
        ValueError: an unknown name; a model that has no digest; hashes without served updates or
            of another number.
    """
    if published and served is None:
        raise ValueError("hashes of updates are published, but no updates are served")
    caught = np.zeros(0, bool)
    if served is not None:
        caught = equivocators(published, (served(n) for n in np.flatnonzero(eligible).tolist()))
        compute = _from_what_is_left(compute, served, caught)
    voters = max_voters(sortition, len(behaviour))
    attempts = max_attempts or default_attempts(schedule, voters, params)
    weights = None if stake is None else jnp.asarray(stake)
    sets = _draw(key, jnp.asarray(eligible), params, attempts, schedule, sortition, weights)
    verdict = _referee(
        stop_rule_of(stop_rule), sets, params, redrawn=schedule_of(schedule).seats is None
    )
    seats, sizes = np.asarray(sets.seat), np.asarray(sets.size)
    randomness = np.asarray(jax.random.key_data(key)).tobytes()
    lots = np.ones_like(seats) if sets.votes is None else np.asarray(sets.votes)
    world = _World(np.asarray(behaviour), group, compute, job, unit, rice, wrong)

    history: list[Counter[bytes]] = []
    last_ballot: dict[int, Ballot | None] = {}
    winner, lead = None, 0
    for attempt in range(attempts):
        if not int(sets.pool):
            break
        members = np.flatnonzero((seats == attempt).any(axis=0)).tolist()
        seed = set_seed(job, unit, attempt, randomness)
        weight = lots[attempt % len(lots)]  # one row serves all sets of single votes
        ballots = world.vote(members, attempt, seed, history, lying=False)
        counted = world.count(ballots, seed, weight)
        winner, over, lead = verdict([*history, counted])
        if (world.behaviour[members] == Behaviour.ADAPTIVE).any():  # would lying win at once?
            lies = world.vote(members, attempt, seed, history, lying=True)
            recount = world.count(lies, seed, weight)
            result = verdict([*history, recount])
            if world.rank.get(result[0] or b"") == 1:
                ballots, counted, (winner, over, lead) = lies, recount, result
        history.append(counted)
        last_ballot.update(ballots)
        if over:
            break
    return Reexecution(
        digest=winner,
        theta=world.models.get(winner or b""),
        attempts=len(history),
        executions=int(sizes[: len(history)].sum()),
        outcome=_outcomes(len(behaviour), last_ballot, winner),
        lead=lead,
        caught=caught,
    )


def _from_what_is_left(
    compute: Compute, served: Callable[[int], np.ndarray], caught: np.ndarray
) -> Compute:
    """`node -> checkpoints`, from what the node was served without the rows of who was caught."""
    return lambda node: compute(node, np.where(caught[:, None], np.float32(np.nan), served(node)))


class _World:
    """The nodes: what each of them reveals, and which ballots count."""

    def __init__(
        self,
        behaviour: np.ndarray,
        group: np.ndarray | None,
        compute: Compute,
        job: int,
        unit: int,
        rice: bool,
        wrong: Callable[[int], np.ndarray] | None = None,
    ):
        self.behaviour, self.wrong = behaviour, wrong
        self.group = np.ones(len(behaviour), int) if group is None else np.asarray(group)
        self.compute, self.job, self.unit, self.rice = compute, job, unit, rice
        self.rank: dict[bytes, int] = {}  # 0 of a right digest, g of a group's: for copiers' ties
        self.models: dict[bytes, np.ndarray] = {}

    def vote(
        self,
        members: list[int],
        attempt: int,
        seed: bytes,
        history: list[Counter[bytes]],
        lying: bool,
    ) -> dict[int, Ballot | None]:
        """The ballots of a set; all commit, then all reveal but the silent (None)."""
        seen = sum(history, Counter[bytes]())
        shared = [digest for digest in seen if digest in self.rank]
        leader = min(shared, key=lambda d: (-seen[d], self.rank[d]), default=None)
        ballots = {n: self._ballot(n, attempt, seed, leader, lying) for n in members}
        silent = {n for n in members if self.behaviour[n] == Behaviour.SILENT}
        return {n: None if n in silent else ballot for n, ballot in ballots.items()}

    def _ballot(
        self, node: int, attempt: int, seed: bytes, leader: bytes | None, lying: bool
    ) -> Ballot:
        kind, nonce = self.behaviour[node], sha(b"nonce", seed, node.to_bytes(8, "little"))
        if kind == Behaviour.COPY and leader is not None:
            salted = sha(b"made up", nonce) if self.rice else b""
            return Ballot(
                commitment(node, leader, salted, nonce), node, leader, salted, nonce, None
            )
        checkpoints = np.array(self.compute(node), np.float32)
        rank = 0
        if kind == Behaviour.COLLUDE or (kind == Behaviour.ADAPTIVE and lying):
            rank = 1 if kind == Behaviour.ADAPTIVE else int(self.group[node])
            checkpoints = checkpoints + rank if self.wrong is None else self.wrong(rank)
        if kind == Behaviour.LONE_LIAR:
            checkpoints -= (1 + node + len(self.behaviour) * attempt) / 1024
        digest = result_digest(self.job, self.unit, checkpoints[-1])
        if kind != Behaviour.LONE_LIAR:
            self.rank.setdefault(digest, rank)
        self.models.setdefault(digest, checkpoints[-1])
        salted = rice_chain(seed, checkpoints) if self.rice else b""
        promise = commitment(node, digest, salted, nonce)
        return Ballot(promise, node, digest, salted, nonce, checkpoints)

    def count(
        self, ballots: dict[int, Ballot | None], seed: bytes, weight: np.ndarray
    ) -> Counter[bytes]:
        """Votes per unsalted digest, of the ballots that are worth something; `weight [C]` lots."""
        votes = Counter[bytes]()
        for ballot in ballots.values():
            if ballot is not None and self.is_valid(ballot, seed):
                alone = self.behaviour[ballot.node] == Behaviour.LONE_LIAR
                votes[ballot.digest] += 1 if alone else int(weight[ballot.node])
        return votes

    def is_valid(self, ballot: Ballot, seed: bytes) -> bool:
        """It is what the node committed to, and its checkpoints open the salted digest."""
        if ballot.promise != commitment(ballot.node, ballot.digest, ballot.salted, ballot.nonce):
            return False
        shown = ballot.checkpoints
        return not self.rice or (
            shown is not None
            and rice_chain(seed, shown) == ballot.salted
            and result_digest(self.job, self.unit, shown[-1]) == ballot.digest
        )


_draw = jax.jit(draw_sets, static_argnames=("attempts", "schedule", "sortition"))


@partial(jax.jit, static_argnums=(3, 4))
def _apply(
    votes: jax.Array, sets: Sets, params: ConeParams, stop_rule: StopRule, redrawn: bool
) -> tuple[jax.Array, jax.Array]:
    """The stop rule on votes `[A, K]`; a lone liar's digest has a column like any other."""
    none = jnp.zeros(votes.shape[:1], jnp.int32)
    tally = Tally(votes, votes, none, sets.size, sets.share, sets.pool, redrawn)
    return apply_rule(stop_rule, tally, params)


def _referee(stop_rule: StopRule, sets: Sets, params: ConeParams, *, redrawn: bool) -> Referee:
    """Applies the stop rule to the digests revealed so far."""
    exhausted = np.asarray(sets.exhausted)

    def verdict(history: list[Counter[bytes]]) -> tuple[bytes | None, bool, int]:
        total = sum(history, Counter[bytes]())
        digests = list(total)
        width = -(-max(len(digests), 1) // 8) * 8  # few shapes, few compilations
        votes = np.zeros((len(exhausted), width), np.int32)
        for i, cell in enumerate(history):
            votes[i, : len(digests)] = [cell[digest] for digest in digests]
        verdicts = _apply(votes, sets, params, stop_rule, redrawn)
        leader, accept = (np.asarray(x)[len(history) - 1] for x in verdicts)
        first, second = (sorted(total.values(), reverse=True) + [0, 0])[:2]
        if accept:
            return digests[int(leader)], True, first - second
        if exhausted[len(history) - 1]:
            return total.most_common(1)[0][0] if first > second else None, True, first - second
        return None, False, first - second

    return verdict


def _outcomes(
    num_nodes: int, ballots: dict[int, Ballot | None], winner: bytes | None
) -> np.ndarray:
    """Codes of `Outcome`, by each node's last ballot; copies that do not open are wrong."""
    outcome = np.full(num_nodes, Outcome.NOT_DRAWN, np.int32)
    for node, ballot in ballots.items():
        if ballot is None:
            outcome[node] = Outcome.SILENT
        elif winner is not None:
            empty = ballot.salted and ballot.checkpoints is None
            right = ballot.digest == winner and not empty
            outcome[node] = Outcome.MATCHED if right else Outcome.WRONG
    return outcome
