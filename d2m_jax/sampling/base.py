"""The shapes every defence speaks: selection, context, parameters, state, information.

A defence is who is sampled and how their updates become the aggregate. What a sampler does is in
`osmd.py`, `baselines.py` and `corrected.py`; how they are put together by name is in `__init__.py`.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from d2m_jax.core.protocols import LossesOf, OutputsOf
from d2m_jax.core.types import Key, PyTree


class Selection(NamedTuple):
    """Who trains this round."""

    indices: jax.Array  # [S] int32, distinct sellers (repeats only when drawn with replacement)
    weights: jax.Array  # [S] float32, inclusion probability (distinct) or p of the drawn (repeats)
    present: jax.Array  # [S] bool, False where fewer sellers than S are eligible


class Direction(Protocol):
    """A direction that the buyer computes only when it is asked for."""

    def __call__(self) -> jax.Array:
        """`[D]`."""


class Context(NamedTuple):
    """What the round gives the defence beside the updates; made by the market, inside its trace.

    The validation set is the buyer's `correction` half, which CONE holds. Without it both callables
    are None and the parts that need it are skipped.
    """

    lam: jax.Array  # [N] float32, data weights n_m / sum n, sum to 1
    lr: jax.Array  # [] float32, the server's step: theta <- theta - lr * aggregate
    round: jax.Array  # [] int32
    f: Any = 0  # declared number of Byzantine sellers in the sample, for rules that want it
    losses_of: LossesOf | None = None  # L_V(theta - lr u) of updates
    grad_of_validation: Direction | None = None  # gradient of L_V(theta)
    root_update: Direction | None = None  # on trusted root examples
    outputs_of: OutputsOf | None = None  # on random inputs after a step along each of some updates
    layers: tuple[int, ...] | None = None  # sizes of the model's layers, in the order of theta


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
    harm_memory: Any = 0.97  # share of the two balances of harm kept in the next sampled round
    readmission: Any = 0.0  # most log odds a round of who is left out and opposes both
    trust_floor: Any = -2.0  # least log odds of who does not oppose both; -100: none
    drift_memory: Any = 0.95  # of the slow mean of all updates
    drift_deviations: Any = 4.0  # more than so many robust deviations along it ...
    drift_gap: Any = 0.2  # ... and than this cosine is steered
    kinship: Any = 3.0  # rows alike across the validation gradient share their weight; 0: not
    growth: Any = 0.0  # power of the agreement, in means of the trusted, that weighs a row; 0: none
    majority: Any = 0.5  # share of the others that an enemy of them opposes; 0: their sum decides
    exponent_cap: Any = 3.0  # of one mirror step
    distrust_penalty: Any = 0.5  # taken from log p, per unit of negative trust, at most one unit


class DefenceState(NamedTuple):
    """What the next round needs; the same fields for every defence, `memory` is its own."""

    p: jax.Array  # [N] float32, sampling distribution
    reputation: jax.Array  # [N] float32 in [0, 1]
    active: jax.Array  # [N] bool, False when excluded
    suspicion: jax.Array  # [N] float32, CUSUM of evidence of harm, log odds
    damage: jax.Array  # [N] float32, summed first-order rise of the validation loss
    discord: jax.Array  # [N] float32, summed first-order rise of the mean loss of other sellers
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


class InitDefence(Protocol):
    """The state of a defence before the first round."""

    def __call__(
        self, num_sellers: int, dim: int, lam: jax.Array, /, *given: Any, **numbers: Any
    ) -> DefenceState:
        """The state for N sellers with data weights `lam` `[N]` and D parameters.

        `dtype=`, float32 when it is not given, is that of the updates it will see.
        """


class Sample(Protocol):
    """Who trains this round."""

    def __call__(
        self, key: Key, state: DefenceState, eligible: jax.Array, params: DefenceParams, /
    ) -> Selection:
        """S sellers, those that are not `eligible` `[N]` bool never present."""


class Aggregate(Protocol):
    """How the updates of a round become one, and what is learnt of the sellers."""

    def __call__(
        self,
        key: Key,
        state: DefenceState,
        selection: Selection,
        updates: jax.Array,
        valid: jax.Array,
        context: Context,
        params: DefenceParams,
        /,
    ) -> tuple[jax.Array, DefenceState, DefenceInfo]:
        """The aggregate `[D]`, the next state and what the market pays by.

        Args:
            key: of this round.
            state: the sellers were drawn from it.
            selection: who was drawn.
            updates: `[S, D]`; rows that are not valid may hold anything finite.
            valid: `[S]` bool, delivered and not refused.
            context: what else the round gives.
            params: the numbers of the defence.
        """


class Defence(NamedTuple):
    """Three pure functions: who is sampled, and how their updates become the aggregate.

    S is closed over. Hashable.
    """

    init: InitDefence
    sample: Sample
    aggregate: Aggregate


class BuildDefence(Protocol):
    """An entry of `SAMPLERS`: makes the defence for a number of sampled sellers."""

    def __call__(self, num_sampled: int, /, *given: Any, **numbers: Any) -> Defence:
        """The defence for S = `num_sampled`.

        Args:
            num_sampled: S.
            given: nothing.
            numbers: `aggregator`, an `Aggregator` or None, and `horizon`, rounds, for those that
                name them; keywords whose default is a float are numbers that may be traced.
        """


def initial_state(num_sellers: int, memory: PyTree, dtype: Any = jnp.float32) -> DefenceState:
    """Returns the common state: uniform distribution, nobody excluded, reputation one half."""
    zeros = jnp.zeros(num_sellers, dtype)
    return DefenceState(
        p=jnp.full(num_sellers, 1.0 / num_sellers, dtype),
        reputation=zeros + 0.5,
        active=jnp.ones(num_sellers, bool),
        suspicion=zeros,
        damage=zeros,
        discord=zeros,
        memory=memory,
    )


def as_before(new: DefenceState, old: DefenceState) -> DefenceState:
    """`new` in the types of `old`: a state keeps its types whatever the types of the updates."""
    return jax.tree.map(lambda a, b: jnp.asarray(a).astype(b.dtype), new, old)


def slashable(state: DefenceState) -> jax.Array:
    """Returns [N] bool: who may be slashed.

    Exclusion is not enough. Slashing needs a positive sum of first-order rises of the validation
    loss, hence validation data, and of the mean loss of all other sellers, trusted or not: whom the
    defence trusts follows from the buyer's examples, and a buyer whose examples lack classes would
    gain by the deposits of honest sellers. Our choice (the paper's rule is not known).
    """
    return ~state.active & (state.damage > 0) & (state.discord > 0)
