"""When is a digest accepted: sequential tests over the votes of the sets so far.

A rule sees, for each attempt, the votes per digest of every earlier set and of this one, and says
which digest leads and whether to accept it. Read next: `consensus.py`; `exact.py` for their errors.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from d2m_jax.cone.params import ConeParams


class Tally(NamedTuple):
    """Votes per set and digest: K digests, of which the last two are lone liars' (0 or 1 vote)."""

    votes: jax.Array  # [A, K] int32, what each set voted: the history of later sets
    last: jax.Array  # [A, K] int32, what set i votes when it is the last one (mostly = votes)
    digests: jax.Array  # [A] int32, different digests seen so far
    size: jax.Array  # [A] int32, seats of the set (expected seats when drawn independently)
    pool: jax.Array  # [] int32, eligible nodes
    redrawn: bool  # static: every set is drawn from the whole pool again

    def running(self, score: Callable[[jax.Array], jax.Array]) -> jax.Array:
        """Sums `score(votes)` over the earlier sets and adds `score(last)`: `[A, K]`."""
        past = score(self.votes)
        return running_sum(past) - past + score(self.last)


Verdict: TypeAlias = tuple[jax.Array, jax.Array]  # leader [A] int32, accept [A] bool
StopRule: TypeAlias = Callable[[Tally, ConeParams], Verdict]


def running_sum(values: jax.Array) -> jax.Array:
    """Cumulative sum over attempts, `[A, ...] -> [A, ...]`, as one masked sum.

    A is small: this fuses with its neighbours, a `cumsum` (a window reduction) does not.
    """
    earlier = jnp.tri(values.shape[0], dtype=bool)
    earlier = earlier.reshape(*earlier.shape, *(1,) * (values.ndim - 1))
    return jnp.where(earlier, values[None], 0).sum(axis=1, dtype=values.dtype)


def lead_needed(f_max: ArrayLike, beta: ArrayLike) -> jax.Array:
    """The lead d* at which Wald's test accepts: `ceil(ln((1-beta)/beta) / ln((1-f)/f))`, float32.

    Votes are Bernoulli with odds (1-f_max)/f_max between the right digest and the colluders', so
    the log-likelihood ratio of a lead d is `d ln((1-f_max)/f_max)`. Source: Wald 1945.
    """
    return jnp.ceil(threshold(beta) / log_odds(f_max))


def threshold(beta: ArrayLike) -> jax.Array:
    """Wald's bound `ln((1-beta)/beta)` in nats."""
    beta = jnp.asarray(beta, jnp.float32)
    return jnp.log1p(-beta) - jnp.log(beta)


def log_odds(f_max: ArrayLike) -> jax.Array:
    """The weight of one vote, `ln((1-f_max)/f_max)` in nats."""
    f_max = jnp.asarray(f_max, jnp.float32)
    return jnp.log1p(-f_max) - jnp.log(f_max)


def top_two(score: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Leader (lowest index on ties), its score and the runner-up's: `[A, K] -> 3 x [A]`."""
    leader = jnp.argmax(score, axis=-1).astype(jnp.int32)
    first = score.max(axis=-1)
    others = jnp.arange(score.shape[-1])[None, :] != leader[:, None]
    low = -jnp.inf if jnp.issubdtype(score.dtype, jnp.floating) else -1
    return leader, first, jnp.where(others, score, low).max(axis=-1)


def _shared(params: ConeParams, digests: jax.Array) -> jax.Array:
    """Beta over the number of rival digests (Bonferroni)."""
    return jnp.asarray(params.beta, jnp.float32) / jnp.maximum(digests - 1, 1)


def lead(tally: Tally, params: ConeParams) -> Verdict:
    """Accepts when the leader is `d*` votes ahead of the runner-up, over all sets (default).

    Assumes a share of bad nodes up to f_max, at worst all for one digest; then the probability of a
    wrong result is about beta at most, less since draws are without replacement. With more than
    two digests beta is shared among the rivals.
    """
    leader, first, second = top_two(tally.running(lambda votes: votes))
    return leader, first - second >= lead_needed(params.f_max, _shared(params, tally.digests))


STOP_RULES: dict[str, StopRule] = {"lead": lead}
