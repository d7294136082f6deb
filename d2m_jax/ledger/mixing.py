"""The digest that stands for keccak256 in the functional ledger: a mix of 32-bit words.

32 bits hide nothing from who searches; the contract takes keccak256.
"""

import jax
import jax.numpy as jnp

from d2m_jax.ledger.accounts import integer


def mix(*words: int | jax.Array) -> jax.Array:
    """[...] int32: a digest of whole words, never 0.

    In unsigned 32-bit arithmetic: h = 0x811C9DC5; for each word w: h = (h ^ w) * 0x85EBCA6B,
    h ^= h >> 13, h *= 0xC2B2AE35, h ^= h >> 16. Read as int32, and 1 stands for 0. An int64 that is
    no int32 is two words, the upper one last.
    """
    mixed = jnp.uint32(0x811C9DC5)
    for word in words:
        mixed = _stir_rest(_stir(mixed, _bits(word)), word)
    return _digest(mixed)


def mix_all(words: jax.Array) -> jax.Array:
    """[] int32: as `mix(*words)` of words [W] int32, one after the other."""
    bits = _bits(words)

    def step(mixed: jax.Array, word: jax.Array) -> tuple[jax.Array, None]:
        return _stir(mixed, word), None

    unroll = min(8, bits.shape[0])
    return _digest(jax.lax.scan(step, jnp.uint32(0x811C9DC5), bits, unroll=unroll)[0])


def _bits(words: int | jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(integer(words), jnp.uint32)


def _stir(mixed: jax.Array, word: jax.Array) -> jax.Array:
    mixed = (mixed ^ word) * jnp.uint32(0x85EBCA6B)
    mixed = (mixed ^ (mixed >> jnp.uint32(13))) * jnp.uint32(0xC2B2AE35)
    return mixed ^ (mixed >> jnp.uint32(16))


def _stir_rest(mixed: jax.Array, word: int | jax.Array) -> jax.Array:
    """After the lower half of a word: the upper half, of a number that is no int32."""
    if isinstance(word, int) or word.dtype.itemsize <= 4:
        return mixed
    is_short = word == integer(word).astype(word.dtype)
    return jnp.where(is_short, mixed, _stir(mixed, _bits(word >> 32)))


def _digest(mixed: jax.Array) -> jax.Array:
    signed = jax.lax.bitcast_convert_type(mixed, jnp.int32)
    return jnp.where(signed == 0, 1, signed)
