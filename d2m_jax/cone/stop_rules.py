"""When is a digest accepted: sequential tests over the votes of the sets so far.

A rule sees, for each attempt, the votes per digest of every earlier set and of this one, and says
which digest leads and whether to accept it. One of your own is a function `(tally, params) ->
(leader, accept)`, its numbers bound by `functools.partial`; `StopRule(fn, exact)` gives it exact
probabilities too. Read next: `consensus.py`; `exact.py` for their errors.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jax.typing import ArrayLike

from d2m_jax.cone import exact_rules
from d2m_jax.cone.exact_rules import ExactForm
from d2m_jax.cone.params import ConeParams
from d2m_jax.cone.parts import resolve
from d2m_jax.core.choices import label
from d2m_jax.core.promises import booleans, check_call, integers, kept


class Tally(NamedTuple):
    """The votes of one unit of work: digest 0 is right, 1..G belong to colluding groups.

    A lone liar's digest has one vote. Only the first two of them can lead or be runner-up, so
    rules see G + 3 digests however many liars there are.
    """

    votes: jax.Array  # [A, G + 1] int32, what each set voted as part of the history
    last: jax.Array  # [A, G + 1] int32, what set i votes if it is the last (adaptive liars)
    lone: jax.Array  # [A] int32, lone liars' votes in each set
    size: jax.Array  # [A] int32, seats of each set
    share: jax.Array  # [A] float32, q_i: the expected share of the pool in the set
    pool: jax.Array  # [] int32, eligible nodes
    redrawn: bool  # static: every set is drawn from the whole pool again

    def running(self, score: Callable[[jax.Array], jax.Array]) -> jax.Array:
        """Sums `score(votes)` over the earlier sets and adds `score(last)`: `[A, G + 3]`."""
        groups = running_sum(score(self.votes), before=True) + score(self.last)
        seen = running_sum(self.lone)
        two = jnp.stack([jnp.minimum(seen, 1), jnp.clip(seen - 1, 0, 1)], axis=-1)
        two = jnp.diff(two, axis=0, prepend=0)  # the set in which the first and second one lied
        return jnp.concatenate([groups, running_sum(score(two))], axis=-1)

    def rivals(self) -> jax.Array:
        """The number of digests besides the leader's, at least 1: `[A] int32`."""
        groups = self.running(lambda votes: votes)[:, :-2]
        seen = (groups > 0).sum(axis=-1, dtype=jnp.int32) + running_sum(self.lone)
        return jnp.maximum(seen - 1, 1)


Accepted: TypeAlias = tuple[jax.Array, jax.Array]  # leader [A] int32, accept [A] bool


class Accept(Protocol):
    """`(tally, params) -> (leader [A] int32, accept [A] bool)`, at every attempt."""

    def __call__(self, tally: Tally, params: ConeParams, /) -> Accepted:
        """Which digest leads, and whether to accept it."""


class StopRule(NamedTuple):
    """A rule, and if it has one its form for two digests on the host (`exact_rules.py`)."""

    fn: Accept
    exact: ExactForm | None = None


StopChoice: TypeAlias = str | StopRule | Accept


def lead(tally: Tally, params: ConeParams) -> Accepted:
    """Accepts when the leader is d* votes ahead of the runner-up, over all sets (default).

    Wald's test: votes are Bernoulli with odds (1-f_max)/f_max between the right digest and the
    colluders' (at worst one) digest. Then a wrong result has probability about beta at most, less
    since draws are without replacement. With several rivals beta is shared among them. Source:
    Wald 1945; that D2M accumulates votes over sets is our choice.
    """
    leader, first, second = top_two(tally.running(lambda votes: votes))
    margin = (first - second).astype(jnp.float32)
    return leader, margin >= lead_needed(params.f_max, params.beta, tally.rivals())


def hypergeometric(tally: Tally, params: ConeParams) -> Accepted:
    """Wald's test with the exact likelihood of a finite pool, H honest and B bad nodes.

    `ln[C(H,x1) C(B,x2) / (C(H,x2) C(B,x1))] >= ln((1-beta)/beta)`, B = floor(f_max pool). For sets
    drawn without replacement x are votes over all sets; for sets drawn from the whole pool again
    (independent schedule) the terms of the sets add up. More than B votes for a digest prove it;
    two such digests show that the bound on f was wrong, and nothing is accepted.
    """
    pool = tally.pool.astype(jnp.float32)
    bad = jnp.floor(jnp.asarray(params.f_max, jnp.float32) * pool + 1e-3)
    good = pool - bad

    def weight(first: jax.Array, second: jax.Array) -> jax.Array:
        """`sum of ln((H-k)/(B-k))` for second <= k < first; infinite when first > B."""
        steps = first - second
        honest = log_rising(jnp.maximum(good - first, 0) + 1, steps)
        colluding = log_rising(jnp.maximum(bad - first, 0) + 1, steps)
        return jnp.where(first > bad, jnp.inf, honest - colluding)

    if tally.redrawn:
        score = tally.running(
            lambda x: weight(x.astype(jnp.float32), jnp.zeros(x.shape, jnp.float32))
        )
        leader, first, second = top_two(score)
        known = jnp.where(jnp.isinf(second), 0, second)  # inf - inf would be NaN on the way
        ratio = jnp.where(jnp.isinf(second), -jnp.inf, first - known)
    else:
        leader, first, second = top_two(tally.running(lambda x: x.astype(jnp.float32)))
        ratio = jnp.where(second > bad, -jnp.inf, weight(first, second))
    return leader, ratio >= threshold(params.beta, tally.rivals())


def miracle(tally: Tally, params: ConeParams) -> Accepted:
    """YODA's rule on sums of squares, MiRACLE.

    `sum_i (x1_i^2 - x2_i^2) / (N q_i (1-q_i)) * (1-2f) / (2f(1-f)) >= ln((1-beta)/beta)`, where f
    is f_max, N the pool and q_i the share of the pool in set i. This is the Gaussian approximation
    of the likelihood ratio when every node has a seat with probability q (re-derived, as YODA's
    text was not available); with sets of exact size q_i is the size over N (our choice). Source:
    Das et al., YODA, NDSS 2019.
    """
    f_max = jnp.asarray(params.f_max, jnp.float32)
    pool = jnp.maximum(tally.pool, 1).astype(jnp.float32)
    spread = pool * tally.share * jnp.maximum(1 - tally.share, 1 / pool)
    scale = (1 - 2 * f_max) / (2 * f_max * (1 - f_max)) / jnp.maximum(spread, 1e-6)
    leader, first, second = top_two(
        tally.running(lambda x: scale[:, None] * (x * x).astype(jnp.float32))
    )
    return leader, first - second >= threshold(params.beta, tally.rivals())


def majority_last(tally: Tally, params: ConeParams) -> Accepted:
    """Two-thirds of the seats of the last set. For comparison only: it is UNSAFE.

    Small early sets have a bad two-thirds with a probability that no beta controls: 5 % per unit of
    work at 30 % bad nodes and base 4. Ignores f_max and beta.
    """
    del params  # no number of its own
    two = jnp.stack([jnp.minimum(tally.lone, 1), jnp.clip(tally.lone - 1, 0, 1)], axis=-1)
    leader, first, _ = top_two(jnp.concatenate([tally.last, two], axis=-1))
    return leader, (3 * first >= 2 * tally.size) & (tally.size > 0)


def lead_needed(f_max: ArrayLike, beta: ArrayLike, rivals: ArrayLike = 1) -> jax.Array:
    """The lead d* that Wald's test asks for: `ceil(ln((1-b)/b) / ln((1-f)/f))`, b = beta/rivals.

    A quotient within 1e-5 above an integer counts as that integer: it is rounding.
    """
    f_max = jnp.asarray(f_max, jnp.float32)
    odds = jnp.log1p(-f_max) - jnp.log(f_max)
    return jnp.ceil(threshold(beta, rivals) / odds - 1e-5)


def threshold(beta: ArrayLike, rivals: ArrayLike = 1) -> jax.Array:
    """Wald's bound `ln((1-b)/b)` in nats, b = beta over the number of rival digests."""
    beta = jnp.asarray(beta, jnp.float32) / jnp.asarray(rivals, jnp.float32)
    return jnp.log1p(-beta) - jnp.log(beta)


def top_two(score: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Leader (lowest index on ties), its score and the runner-up's: `[A, K] -> 3 x [A]`."""
    leader = jnp.argmax(score, axis=-1).astype(jnp.int32)
    others = jnp.arange(score.shape[-1], dtype=jnp.int32)[None, :] != leader[:, None]
    low = -jnp.inf if jnp.issubdtype(score.dtype, jnp.floating) else -1
    return leader, score.max(axis=-1), jnp.where(others, score, low).max(axis=-1)


def running_sum(values: jax.Array, *, before: bool = False) -> jax.Array:
    """Sum over the attempts up to each one, or before it: `[A, ...] -> [A, ...]`.

    One masked sum: A is small, so it fuses with its neighbours, which `cumsum` (a window reduction)
    does not; and infinite scores stay infinite.
    """
    earlier = jnp.tri(values.shape[0], k=-1 if before else 0, dtype=bool)
    earlier = earlier.reshape(*earlier.shape, *(1,) * (values.ndim - 1))
    return jnp.where(earlier, values[None], 0).sum(axis=1, dtype=values.dtype)


def log_rising(start: jax.Array, steps: jax.Array) -> jax.Array:
    """`ln Gamma(start + steps) - ln Gamma(start)` for start >= 1, steps >= 0, safe in float32.

    The plain difference loses `1e-7 ln Gamma(start)`, 0.1 nats in a pool of 100,000. From 30 on
    the difference is taken inside Stirling's series; below, the plain one is as good.
    """
    end = start + steps
    far = (
        steps * (jnp.log(start) - 1)
        + (end - 0.5) * jnp.log1p(steps / start)
        + (1 / end - 1 / start) / 12
    )
    return jnp.where(start < 30, gammaln(end) - gammaln(start), far)


STOP_RULES: dict[str, StopRule] = {
    "lead": StopRule(lead, exact_rules.LEAD),
    "hypergeometric": StopRule(hypergeometric, exact_rules.HYPERGEOMETRIC),
    "miracle": StopRule(miracle, exact_rules.MIRACLE),
    "majority_last": StopRule(majority_last, exact_rules.MAJORITY_LAST),
}


def stop_rule_of(choice: StopChoice) -> StopRule:
    """The stop rule of a name, a record or a function of the user's own."""
    return resolve(STOP_RULES, choice, StopRule, "stop rule")


def apply_rule(choice: StopChoice, tally: Tally, params: ConeParams) -> Accepted:
    """Leader `[A] int32` and acceptance `[A] bool` by a stop rule, checked.

    Raises:
        ValueError: a rule of the user's own gives something else.
    """
    what, rule, shape = f"stop rule {label(choice)!r}", stop_rule_of(choice).fn, tally.size.shape
    check_call(what, rule, tally, params)
    leader, accept = kept(what, rule(tally, params), (integers(*shape), booleans(*shape)))
    return leader.astype(jnp.int32), accept


def switched_stop_rule(rules: Sequence[StopChoice], index: jax.Array) -> Accept:
    """A stop rule that behaves as `rules[index]`; their numbers are bound.

    Args:
        rules: in the order of the index.
        index: [] int32, the same for all worlds of a `vmap`: only the chosen rule runs.
    """

    def chosen(tally: Tally, params: ConeParams) -> Accepted:
        branches = [partial(apply_rule, rule, tally, params) for rule in rules]
        return jax.lax.switch(index, branches)

    return chosen
