"""What the stages of a round hand to each other: typed values, no functions.

Read first: `round.py`, which has the stages.
"""

from typing import Any, NamedTuple

import jax

from d2m_jax.config.hparams import HParams
from d2m_jax.core.types import PyTree
from d2m_jax.data import FederatedData
from d2m_jax.incentives import Evidence
from d2m_jax.market.keys import RoundKeys
from d2m_jax.market.roles import Roles
from d2m_jax.sampling import DefenceInfo, DefenceState, Selection


class LearningState(NamedTuple):
    """What the next round of training needs."""

    theta: jax.Array  # [D] float32, the model
    server: PyTree  # memory of the server's optimiser, [D] float32 momentum with sgd
    previous: jax.Array  # [D] float32, last accepted direction, which free-riders replay
    momentum: PyTree  # [N, D] float32, client momentum, or () without it
    controls: PyTree  # sellers.ScaffoldState, or () without it
    defence: DefenceState
    attack: PyTree  # memory of the attack
    versions: PyTree = ()  # [max_delay, D] models of the last rounds, with a delay
    late: PyTree = ()  # [N] int32 rounds, when each was last drawn, with a delay


class Scene(NamedTuple):
    """What every stage of one round may look at."""

    keys: RoundKeys
    state: LearningState  # before the round
    hparams: HParams
    data: FederatedData
    roles: Roles
    sizes: jax.Array  # [N] int32, examples that the sellers claim; 0 for those that may not train
    round: jax.Array  # [] int32, from 0
    rate: jax.Array  # [] float32, the server's in this round
    shown: Any = ()  # openings.Shown of bonded units; () where accounts sell


class Drawn(NamedTuple):
    """Who trains, and who of them attacks."""

    selection: Selection
    active: jax.Array  # [N] bool, sellers that attack in this round
    byzantine: jax.Array  # [S] bool, sampled ones of them
    steps: jax.Array  # [S] int32, local steps that each finishes
    delivers: jax.Array  # [S] bool, sampled and not dropped out
    tolerated: jax.Array  # [] int32, declared Byzantine rows
    late: jax.Array | None = None  # [S] int32 rounds, with a delay


class Worked(NamedTuple):
    """What the sellers computed, all of them honestly."""

    own: jax.Array  # [S, D] float32, without momentum; it stays with them
    updates: jax.Array  # [S, D] float32, what an honest seller sends
    momentum: PyTree  # of all sellers, after the round
    parts: jax.Array | None = None  # [S, D] bool, with partial models: what each one trained


class Sent(NamedTuple):
    """What arrives, forged rows among them."""

    updates: jax.Array  # [S, D] float32, anything
    memory: PyTree  # of the attack


class Admitted(NamedTuple):
    """What the defence may look at."""

    updates: jax.Array  # [S, D] float32, finite
    valid: jax.Array  # [S] bool, delivered and neither non-finite nor too long


class Defended(NamedTuple):
    """The aggregate, and what the defence thinks of whom."""

    direction: jax.Array  # [D] float32
    state: DefenceState
    info: DefenceInfo


class RoundWork(NamedTuple):
    """What the sellers and the defence did in one round, before CONE votes on it."""

    selection: Selection
    own_updates: jax.Array  # [S, D] float32, what the sellers computed; it stays with them
    direction: jax.Array  # [D] float32, the honest aggregate
    valid: jax.Array  # [S] bool, delivered and neither non-finite nor too long
    refused: jax.Array  # [] int32, delivered but non-finite or too long
    info: DefenceInfo
    evidence: Evidence  # what the work of each seller was worth is read off this
