"""One small network with dropout in every library, and one with BatchNorm in every library."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

FEATURES, CLASSES = 5, 3
SAMPLE = {
    "inputs": np.random.default_rng(0).normal(size=(8, FEATURES)).astype(np.float32),
    "labels": np.arange(8) % CLASSES,
}


class Linen(nn.Module):
    width: int = 6
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, *, deterministic):
        x = nn.relu(nn.Dense(self.width, param_dtype=self.dtype)(x))
        x = nn.Dropout(0.5, deterministic=deterministic)(x)
        return nn.Dense(CLASSES, param_dtype=self.dtype)(x)


class LinenNorm(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = True):
        return nn.Dense(CLASSES)(nn.BatchNorm(use_running_average=not train)(x))


class Nnx(nnx.Module):
    def __init__(self, width: int = 6, *, rngs: nnx.Rngs):
        self.first = nnx.Linear(FEATURES, width, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(width, CLASSES, rngs=rngs)

    def __call__(self, x):
        return self.last(self.dropout(nnx.relu(self.first(x))))


class NnxNorm(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs):
        self.norm = nnx.BatchNorm(FEATURES, rngs=rngs)

    def __call__(self, x):
        return self.norm(x)


def equinox_net(key):
    import equinox as eqx

    first, last = jax.random.split(key)
    return eqx.nn.Sequential(
        [
            eqx.nn.Linear(FEATURES, 6, key=first),
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.Dropout(0.5),
            eqx.nn.Linear(6, CLASSES, key=last),
        ]
    )


def equinox_norm(key):
    import equinox as eqx

    norm = eqx.nn.BatchNorm(FEATURES, axis_name="batch", mode="ema")
    return eqx.nn.Sequential([norm, eqx.nn.Linear(FEATURES, CLASSES, key=key)])


def haiku_net(x, is_training):
    import haiku as hk

    x = jax.nn.relu(hk.Linear(6)(x))
    x = hk.dropout(hk.next_rng_key(), 0.5, x) if is_training else x
    return hk.Linear(CLASSES)(x)


def haiku_norm(x):
    import haiku as hk

    return hk.BatchNorm(True, True, 0.9)(x, is_training=True)
