"""The shapes every defence speaks: selection, context, parameters, state, information.

A defence is who is sampled and how their updates become the aggregate. What a sampler does is in
`osmd.py`, `baselines.py` and `corrected.py`; how they are put together by name is in `__init__.py`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from d2m_jax.core.types import PyTree


class Selection(NamedTuple):
    """Who trains this round."""

    indices: jax.Array  # [S] int32, distinct sellers (repeats only when drawn with replacement)
    weights: jax.Array  # [S] float32, inclusion probability (distinct) or p of the drawn (repeats)
    present: jax.Array  # [S] bool, False where fewer sellers than S are eligible


class Context(NamedTuple):
    """What the round gives the defence beside the updates; made by the market, inside its trace.

    The validation set is the buyer's `correction` half, which CONE holds. Without it both callables
    are None and the parts that need it are skipped.
    """

    lam: jax.Array  # [N] float32, data weights n_m / sum n, sum to 1
    lr: jax.Array  # [] float32, the server's step: theta <- theta - lr * aggregate
    round: jax.Array  # [] int32
    f: Any = 0  # declared number of Byzantine sellers in the sample, for rules that want it
    losses_of: Callable[[jax.Array], jax.Array] | None = None  # [C, D] -> [C], L_V(theta - lr u)
    grad_of_validation: Callable[[], jax.Array] | None = None  # () -> [D], gradient of L_V(theta)
    root_update: Callable[[], jax.Array] | None = None  # () -> [D], on trusted root examples


class DefenceParams(NamedTuple):
    """The numbers of all defences; every one may be traced. Sources: see `corrected.py`."""

    alpha: Any = 0.4  # floor mass of the sampling distribution, p >= alpha / N
    eta: Any = 1.0  # multiplies the derived learning rate of the mirror step
    horizon: Any = 200.0  # rounds, enters the learning rate (a market sets its own)
    clip: Any = 1.0  # an update is clipped to clip * R
    norm_memory: Any = 0.9  # weight of a seller's last norm in R, kept each round
    start_deviations: Any = 2.0  # R is a quantile so much below the half while many are unheard
    norm_growth: Any = 1.2  # R rises by at most, in the first of some rounds on end
    size_trust: Any = 0.5  # a claimed size counts up to exp(size_trust * trust) medians of all
    duplicate_cosine: Any = 0.999  # the later of two such updates is dropped
    free_ratio: Any = 0.05  # a norm below this share of R is a free-rider's
    moment_rate: Any = 0.1  # of the running mean and variance of the agreement
    useless: Any = -0.5  # trust: mean agreement of a useless seller, in means of the trusted
    harmful: Any = -2.0  # suspicion: mean agreement of a harmful seller, in means of the trusted
    evidence_cap: Any = 2.0  # log odds that one round can move either account
    trust_memory: Any = 0.97  # share of the trust kept in the next sampled round
    trust_limit: Any = 3.0  # log odds
    reject: Any = 0.03  # an update of a seller with less trust, a probability, is left out
    suspicion_memory: Any = 0.9  # share of the suspicion kept in the next sampled round
    exclusion_log_odds: Any = 10.0  # suspicion at which a seller is excluded
    drift_memory: Any = 0.95  # of the slow mean of all updates
    drift_deviations: Any = 4.0  # more than so many robust deviations along it ...
    drift_gap: Any = 0.2  # ... and than this cosine is steered
    exponent_cap: Any = 3.0  # of one mirror step
    distrust_penalty: Any = 0.5  # taken from log p, per unit of negative trust, at most one unit


class DefenceState(NamedTuple):
    """What the next round needs; the same fields for every defence, `memory` is its own."""

    p: jax.Array  # [N] float32, sampling distribution
    reputation: jax.Array  # [N] float32 in [0, 1]
    active: jax.Array  # [N] bool, False when excluded
    suspicion: jax.Array  # [N] float32, CUSUM of evidence of harm, log odds
    damage: jax.Array  # [N] float32, summed first-order rise of the validation loss
    memory: PyTree  # of this defence


class DefenceInfo(NamedTuple):
    """What the market pays by and the user looks at."""

    accepted: jax.Array  # [S] bool, the update is in the aggregate (z)
    flagged: jax.Array  # [S] bool
    duplicate: jax.Array  # [S] bool
    gain: jax.Array  # [S] float32, fall of the validation loss by accepted updates; 0 without V
    num_excluded: jax.Array  # [] int32, sellers that are excluded now
    num_invalid: jax.Array  # [] int32, present but non-finite or refused rows of this round
    skipped: jax.Array  # [] bool, nothing was accepted: the aggregate is zero


class Aggregator(Protocol):
    """A robust rule with memory; `aggregation.make_aggregator` makes such pairs.

    init: (num_sellers, dim) -> state
    apply: (state, updates [S, D], f, mask [S], *, indices, key, root, losses) -> (aggregate, state)
    uses: of "key", "root", "losses", "indices": what `apply` has to be given
    """

    @property
    def init(self) -> Callable[..., PyTree]:
        """The empty memory."""

    @property
    def apply(self) -> Callable[..., tuple[jax.Array, PyTree]]:
        """One round."""

    @property
    def uses(self) -> tuple[str, ...]:
        """What `apply` takes beside the updates."""


class Defence(NamedTuple):
    """Three pure functions; S is closed over.

    init: (num_sellers, dim, lam [N]) -> state
    sample: (key, state, eligible [N] bool, params) -> Selection
    aggregate: (key, state, selection, updates [S, D], valid [S] bool, context, params)
        -> (aggregate [D], state, DefenceInfo)
    """

    init: Callable[..., DefenceState]
    sample: Callable[..., Selection]
    aggregate: Callable[..., tuple[jax.Array, DefenceState, DefenceInfo]]


def initial_state(num_sellers: int, memory: PyTree) -> DefenceState:
    """Returns the common state: uniform distribution, nobody excluded, reputation one half."""
    zeros = jnp.zeros(num_sellers)
    return DefenceState(
        p=jnp.full(num_sellers, 1.0 / num_sellers),
        reputation=zeros + 0.5,
        active=jnp.ones(num_sellers, bool),
        suspicion=zeros,
        damage=zeros,
        memory=memory,
    )


def slashable(state: DefenceState) -> jax.Array:
    """Returns [N] bool: who may be slashed.

    Exclusion is not enough; slashing needs a positive sum of measured rises of the validation loss
    as well, hence validation data. Our choice (the paper's rule is not known): honest sellers of
    rare classes would else lose deposits without evidence of harm.
    """
    return ~state.active & (state.damage > 0)
