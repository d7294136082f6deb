"""A case among many wrong claims and a true one, without hashes: who wins, when, at what price.

The same rules as `game.py` for the worst that liars can do there: they stall. Traced in all
numbers. The closed form beside it is exact. Read next: `market/disputes.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.core.types import Key, Number

MAX_ROUNDS, MAX_MESSAGES = 16, 18  # of a tournament; of one side of a duel
# Gas of the contract's messages (tests/contracts/test_court.py): what a case costs its parties.
OPEN, COMMIT, CLAIM, PLAY, JUDGE, CLOSE = 91_000, 44_000, 317_000, 61_000, 346_000, 44_000


class Trial(NamedTuple):
    """How a case ended."""

    holds: jax.Array  # [] bool, the truth was heard in time, in all its duels
    messages: jax.Array  # [] int32, of all parties
    delay: jax.Array  # [] int32, blocks from the first claim until the case was closed
    gas: jax.Array  # [] int32, of all messages; it stops at 2^31 - 1


def depth_of(steps: Number) -> jax.Array:
    """[] int32: depth of the tree of a claim about so many steps."""
    return 32 - jax.lax.clz(jnp.maximum(_whole(steps), 1))


def rounds_of(sybils: Number) -> jax.Array:
    """[] int32: most duels of the true claim against so many wrong ones: 1 + ceil(log2 k).

    One wrong claim is what was accepted, which every other meets first, all at the same time. The
    k - 1 others pass if nobody answers for it. Then all claims but one are in a duel at any time
    and none lasts longer than T = 2 budget + judging, so after T blocks at most half of them
    (rounded up) are left.
    """
    return 33 - jax.lax.clz(jnp.maximum(_whole(sybils) - 1, 0))


def hold_trial(
    key: Key,
    *,
    sybils: Number,
    steps: Number,
    censorship: Number,
    window: Number,
    budget: Number,
    judging: Number,
) -> Trial:
    """One true claim against `sybils` wrong ones that use up their clocks in every duel.

    Every message of the truth waits for a block that does not censor it, one block at least:
    commitment and claim within the window, then in each of 1 + ceil(log2 k) duels ceil(d / 2)
    answers on its clock and one judgement. It holds if no clock runs out. The delay is the sum over
    duels of a liar's clock and of what the truth's messages waited.

    Args:
        key: consumed.
        sybils: k >= 1 wrong claims.
        steps: of the unit of work.
        censorship: probability that a block keeps all honest messages out.
        window, budget, judging: terms of the court, blocks.
    """
    depth, rounds = depth_of(steps), rounds_of(sybils)
    answers = (depth + 1) // 2
    shape = (MAX_ROUNDS + 1, MAX_MESSAGES)
    u = jax.random.uniform(key, shape, jnp.float32, minval=1e-7)
    out = jnp.clip(jnp.asarray(censorship, jnp.float32), 1e-30, 0.9999)
    waits = jnp.minimum(1 + jnp.floor(jnp.log(u) / jnp.log(out)).astype(jnp.int32), 1_000_000)
    entry = waits[-1, :2].sum(dtype=jnp.int32)
    column = jnp.arange(MAX_MESSAGES)
    spoken = jnp.where((column < answers)[None], waits[:-1], 0).sum(1, dtype=jnp.int32)
    judged = waits[:-1, -1]
    played = jnp.arange(MAX_ROUNDS) < rounds
    clock = _whole(budget)
    in_time = (spoken <= clock) & (judged <= _whole(judging))
    holds = (entry <= _whole(window)) & (in_time | ~played).all()
    last = jnp.where(played, clock + jnp.minimum(spoken, clock) + judged, 0)
    duels = jnp.minimum(_whole(sybils), 2**MAX_ROUNDS)
    delay = jnp.maximum(entry + last.sum(dtype=jnp.int32), _whole(window)) + 1
    messages = 2 * (duels + 1) + duels * (depth + 1) + 2
    per_duel = (depth * PLAY + JUDGE + COMMIT + CLAIM).astype(jnp.float32)
    gas = OPEN + CLOSE + COMMIT + CLAIM + per_duel * duels.astype(jnp.float32)
    return Trial(holds, messages, delay, jnp.minimum(gas, 2.0**31 - 128).astype(jnp.int32))


def probability_heard(
    *, sybils: int, steps: int, censorship: float, window: int, budget: int, judging: int
) -> float:
    """P(the truth is heard in time), exactly.

        P(B(window) >= 2) [P(B(budget) >= ceil(d / 2)) (1 - c^judging)]^(1 + ceil(log2 k))

    with B(n) the number of the n blocks that do not censor, Binomial(n, 1 - c).
    """
    from scipy.stats import binom  # takes long to load

    rounds, answers = 1 + (int(sybils) - 1).bit_length(), (int(steps).bit_length() + 1) // 2
    let = 1 - censorship
    duel = binom.sf(answers - 1, budget, let) * (1 - censorship**judging)
    return float(binom.sf(1, window, let) * duel**rounds)


def survival(watching: float, watchers: float, heard: float = 1.0) -> float:
    """P(a wrong result survives) = 1 - (1 - (1 - p)^h) P(heard); (1 - p)^h where nobody censors."""
    return 1 - (1 - (1 - watching) ** watchers) * heard


def longest(sybils: int, budget: int, judging: int) -> int:
    """Blocks that no case outlasts after its window: (1 + ceil(log2 k)) T, T of them per duel."""
    return (1 + int(np.ceil(np.log2(sybils)))) * (2 * budget + judging + 3)


def _whole(number: Number) -> jax.Array:
    return jnp.round(jnp.asarray(number, jnp.float32)).astype(jnp.int32)
