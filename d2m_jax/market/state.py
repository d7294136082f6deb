"""What a market carries from round to round and leaves behind. Read next: `market/engine.py`."""

from typing import Any, NamedTuple, TypeAlias

import jax

from d2m_jax.core.types import Key
from d2m_jax.ledger import Ledger
from d2m_jax.market.auction import Auction
from d2m_jax.market.roles import Roles
from d2m_jax.market.scene import LearningState
from d2m_jax.sampling import DefenceState

JOB = 0  # the slot of the job that a market trains, where there is one
Slot: TypeAlias = int | jax.Array


class Closing(NamedTuple):
    """How a job ended."""

    metric: jax.Array  # [] float32, true accuracy on the verdict examples
    reported_bps: jax.Array  # [] int32, what CONE first reported, -1 for nothing
    accepted_digest: jax.Array  # [] int32: 0 the true metric, > 0 a false one, -1 undecided
    disputed: jax.Array  # [] bool, some unit was
    was_true: jax.Array  # [] bool, there was a reason to: a wrong result was accepted
    upheld: jax.Array  # [] bool, some result was overturned
    corrected: jax.Array  # [] bool, only the metric was false: the true one holds instead
    slashed: jax.Array  # [N] bool, sellers punished on evidence of harm
    weights: jax.Array  # [N] int32, payment weights
    messages: jax.Array  # [] int32, transactions of all disputes, 0 without one
    delay: jax.Array  # [] int32, blocks that they took
    gas: jax.Array  # [] int32, of their messages to the court


class MarketState(NamedTuple):
    """Everything that the next round needs.

    With several jobs, all but what `jobs.SHARED` names has a leading axis of jobs.
    """

    key: Key  # of the whole run; rounds and purposes are folded in
    round: jax.Array  # [] int32, rounds done
    learning: LearningState
    base_metric: jax.Array  # [] float32, of the untrained model on the verdict examples
    ledger: Ledger
    roles: Roles
    scores: jax.Array  # [N] float32, contributions credited so far
    drawn: jax.Array  # [N] int32, rounds in which each was drawn and delivered
    accepted: jax.Array  # [N] int32, rounds in which its update was used
    auction: Auction
    opening: Ledger  # the ledger before anybody acted
    shown: Any = ()  # openings.Shown of bonded units; () where accounts sell


class RoundInfo(NamedTuple):
    """What happened in one round; stacked over rounds by `rounds` and `run`."""

    round: jax.Array  # [] int32, from 1
    sellers: jax.Array  # [S] int32, sampled where present
    present: jax.Array  # [S] bool, False where fewer than S sellers were left
    valid: jax.Array  # [S] bool, delivered something finite
    accepted: jax.Array  # [S] bool, used by the defence
    flagged: jax.Array  # [S] bool
    credited: jax.Array  # [N] float32, contribution shares of this round
    sampling: jax.Array  # [N] float32, the sampler's distribution, whoever is there or was late
    byzantine_mass: jax.Array  # [] float32, mass of bad sellers in it
    byzantine_credit: jax.Array  # [] float32, their share of the round's contributions
    refused: jax.Array  # [] int32, updates that were non-finite or too long
    excluded: jax.Array  # [] int32, sellers excluded by the defence so far
    direction_norm: jax.Array  # [] float32
    accepted_digest: jax.Array  # [] int32: 0 right, > 0 wrong, -1 undecided
    attempts: jax.Array  # [] int32, execution sets drawn
    executions: jax.Array  # [] int32, nodes that executed
    latency: jax.Array  # [] float32, simulated seconds of consensus
    nodes_paid: jax.Array  # [] money units
    seats: jax.Array  # [C] int32, the last set that each node sat in, from 0; -1 none
    outcomes: jax.Array  # [C] int32, how each node ended: codes of `Outcome`


class Evaluation(NamedTuple):
    """Quality of the model after some round, on examples that nothing else sees."""

    round: jax.Array  # [] int32
    test_metric: jax.Array  # [] float32
    test_loss: jax.Array  # [] float32


class MarketOutcome(NamedTuple):
    """What a finished market leaves behind.

    With several jobs, all but ledgers and roles has an axis of jobs: the first one, in `rounds` and
    `evaluations` the second; `jobs.job_of` reads one of them.
    """

    theta: jax.Array  # [D] float32
    ledger: Ledger
    opening: Ledger
    roles: Roles
    auction: Auction
    closing: Closing
    scores: jax.Array  # [N] float32
    defence: DefenceState
    rounds: RoundInfo  # [R, ...]
    evaluations: Evaluation  # [R / eval_every]
    attack_success: jax.Array  # [] float32, of a backdoor on the test set; -1 without one
    found_out: Any = ()  # [N] bool, units whose openings look false; () where accounts sell

    @property
    def phase(self) -> jax.Array:
        """[] int32: where the job ended, a `ledger.Phase`; [W] of worlds stacked; [J] of jobs."""
        phase = self.ledger.jobs.phase
        return phase[..., JOB] if phase.shape[-1] == 1 else phase

    @property
    def test_metric(self) -> jax.Array:
        """[] float32: of the last model; [W] of worlds stacked; [J] of jobs."""
        metric = self.evaluations.test_metric
        return metric[..., -1] if self.ledger.jobs.phase.shape[-1] == 1 else metric[..., -1, :]
