"""Paying reports that nobody can check, by what others report: labels, verdicts. Pure functions.

Both mechanisms reward information about each other, not agreement: who reports without looking
earns nothing on average, whatever the others do alike. No example with a known answer is needed.
Our use: sellers that label the buyer's examples, nodes that report verdicts (arXiv 2406.01794).
"""

import jax
import jax.numpy as jnp


def co_occurrence(mine: jax.Array, theirs: jax.Array, num_answers: int) -> jax.Array:
    """[K, K] int32: how often I say k where the other says l.

    Args:
        mine, theirs: [T] int32 in [0, K), reports on the same tasks; others count nowhere.
        num_answers: K, static.
    """
    a = jax.nn.one_hot(mine, num_answers, dtype=jnp.int32)
    b = jax.nn.one_hot(theirs, num_answers, dtype=jnp.int32)
    return a.T @ b


def determinant_pay(mine: jax.Array, theirs: jax.Array, num_answers: int) -> jax.Array:
    """det(A1) det(A2), A1 and A2 the co-occurrence on the even and the odd tasks -> [] float32.

    Dominantly truthful: a report that garbles the truth by a matrix G multiplies the expectation
    by det(G)^2 <= 1, with equality for permutations of the answers only. Needs at least K tasks of
    each half (2K in all), below that it is 0. Source: Kong 2020 (DMI, arXiv 1911.00272), section 4.

    Args:
        mine, theirs: [T] int32 reports on the same tasks.
        num_answers: K, static.
    """
    halves = [co_occurrence(mine[i::2], theirs[i::2], num_answers) for i in range(2)]
    first, second = (jnp.linalg.det(half.astype(jnp.float32)) for half in halves)
    return first * second


def agreement_table(joint: jax.Array) -> jax.Array:
    """[K, K] bool: the pairs of reports that occur together more often than by chance.

    The sign of Delta(k, l) = P(k, l) - P(k) P(l). Source: Shnayder, Agarwal, Frongillo and Parkes
    2016 (correlated agreement, arXiv 1603.03151), definition 2.

    Args:
        joint: [K, K] joint distribution of two reports, or their counts on many tasks.
    """
    joint = joint.astype(jnp.float32)
    joint = joint / jnp.maximum(joint.sum(), 1e-30)
    return joint > joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)


def agreement_pay(mine: jax.Array, theirs: jax.Array, agrees: jax.Array) -> jax.Array:
    """Correlated agreement: [] float32, mean over tasks t of S(r_t, q_t) - S(r_t', q_t'').

    S is the table of `agreement_table`: a task that both saw against two that are not the same. The
    penalty is the mean over all pairs of different tasks, which has the expectation of a random one
    and less variance (our choice). Expected pay of the truth: sum of the positive parts of Delta;
    no strategy earns more (informed truthful). Source: Shnayder et al. 2016, section 4.

    Args:
        mine, theirs: [T] int32 in [0, K), T at least 2.
        agrees: [K, K] bool, learnt from other tasks, or known.

    Raises:
        ValueError: fewer than two tasks.
    """
    num_tasks = mine.shape[0]
    if num_tasks < 2:
        raise ValueError("correlated agreement compares different tasks: give at least 2 reports")
    score = agrees.astype(jnp.float32)
    pairs = score[mine[:, None], theirs[None, :]]
    bonus, everything = jnp.trace(pairs), pairs.sum()
    return bonus / num_tasks - (everything - bonus) / (num_tasks * (num_tasks - 1))
