"""Digests, RICE chains, commitments and published hashes: SHA-256 on the host.

The bytes behind the vote model. Read next: `reexecute.py`.
"""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

SCALE = 2**16  # a model is hashed as round(theta 2^16), int32 little-endian


def sha(*parts: bytes) -> bytes:
    """SHA-256 of the parts, each preceded by its length, so that parts cannot run together."""
    state = hashlib.sha256()
    for part in parts:
        state.update(len(part).to_bytes(8, "little") + part)
    return state.digest()


def quantise(theta: np.ndarray) -> bytes:
    """`round(theta 2^16)` as int32 little-endian bytes, `[D] float32 -> 4 D bytes`.

    Equal models give equal bytes; differences below 2^-17 vanish unless they straddle a rounding
    boundary, so nodes must compute deterministically all the same.

    Raises:
        ValueError: a parameter is not finite or does not fit (|theta| >= 2^15).
    """
    scaled = np.rint(np.asarray(theta, np.float64) * SCALE)
    if not (np.abs(scaled) < 2**31).all():  # NaN fails too
        raise ValueError("a model with parameters that are not finite or above 2^15 has no digest")
    return scaled.astype("<i4").tobytes()


def result_digest(job: int, unit: int, theta: np.ndarray) -> bytes:
    """The unsalted digest that votes are counted by: `SHA256(job, unit of work, theta)`."""
    return sha(_number(job), _number(unit), quantise(theta))


def set_seed(job: int, unit: int, attempt: int, randomness: bytes) -> bytes:
    """The public salt of an execution set: `SHA256(job, unit, attempt, block randomness)`."""
    return sha(_number(job), _number(unit), _number(attempt), randomness)


def rice_points(seed: bytes, steps: int) -> list[int]:
    """About log2(L) of the L local steps, picked by the set's seed: where RICE hashes."""
    count = min(steps, max(1, round(np.log2(max(steps, 1)))))
    rng = np.random.default_rng(int.from_bytes(seed, "little"))
    return sorted(rng.choice(steps, count, replace=False).tolist())


def rice_chain(seed: bytes, checkpoints: np.ndarray) -> bytes:
    """The salted digest: `h <- SHA256(h, theta_l)` at the seed's points, then with the result.

    Who did not compute the intermediate models of this set's points cannot produce it. After
    YODA's RICE as recalled in our notes; the details are our choice.

    Args:
        seed: of the execution set.
        checkpoints: `[L, D]` models after each local step, the last one being the result.
    """
    state = seed
    for point in rice_points(seed, len(checkpoints)):
        state = sha(state, quantise(checkpoints[point]))
    return sha(state, quantise(checkpoints[-1]))


def commitment(node: int, digest: bytes, salted: bytes, nonce: bytes) -> bytes:
    """What a node publishes before anybody reveals; bound to the node, so it cannot be reused."""
    return sha(_number(node), digest, salted, nonce)


def published_hash(update: np.ndarray) -> bytes:
    """The hash of its update that a seller puts on the chain before it serves the bytes."""
    return sha(np.ascontiguousarray(update, "<f4").tobytes())


def equivocators(published: Sequence[bytes], served: Iterable[np.ndarray]) -> np.ndarray:
    """Sellers that served bytes which do not match their published hash.

    Every node checks what it got; one complaint (the bytes and the seller's signature) proves the
    fault to everybody, so all nodes drop the same sellers and honest digests agree.

    Args:
        published: S hashes.
        served: `[K, S, D] float32` or K arrays `[S, D]`: what each node got from each seller.

    Returns:
        `[S] bool`.

    Raises:
        ValueError: a node got another number of updates than were published.
    """
    caught = np.zeros(len(published), bool)
    for got in served:
        if len(got) != len(published):
            raise ValueError(f"{len(published)} hashes are published, but {len(got)} rows served")
        caught |= [published_hash(update) != known for update, known in zip(got, published)]
    return caught


def _number(value: int) -> bytes:
    return int(value).to_bytes(8, "little")
