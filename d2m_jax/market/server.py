"""The server's step from the accepted direction to the model, by optax's optimisers.

Not here: the vote that decides whether the step is taken (`engine.py`). The rate stays outside:
theta <- theta - lr * step.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

from d2m_jax.config.hparams import Learning
from d2m_jax.core.choices import pick
from d2m_jax.core.types import PyTree

MakeOptimizer: TypeAlias = Callable[[Learning], optax.GradientTransformation]


def server_optimizer(
    choice: str | MakeOptimizer, learning: Learning
) -> optax.GradientTransformation:
    """The named optimiser with its numbers bound; call it inside the traced function.

    Memory is a pytree of [D] arrays and counters: `init(theta) -> memory`,
    `update(direction [D], memory) -> (step [D], memory)`.

    Args:
        choice: in `SERVER_OPTIMIZERS`, or a function `Learning -> optax.GradientTransformation`.
        learning: `momentum` is the heavy ball of sgd, nesterov, adagrad and rmsprop and the first
            moment's decay b1 of adam, amsgrad and yogi; `server_decay` is the second moment's decay
            b2; `adaptivity` is tau, the smallest root mean square that a coordinate is divided by.

    Source: Reddi et al. 2021 (FedOpt), Algorithm 2; moments are corrected for their start, which
    that paper leaves out and optax does.
    """
    return pick(SERVER_OPTIMIZERS, choice, "server optimiser")(learning)


def is_finite(memory: PyTree) -> jax.Array:
    """[] bool: no overflow in any array of the memory."""
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(memory)]).all()


def _adagrad(learning: Learning) -> optax.GradientTransformation:
    scale = optax.scale_by_rss(jnp.square(learning.adaptivity), eps=0.0)
    return optax.chain(scale, optax.trace(learning.momentum))


def _rmsprop(learning: Learning) -> optax.GradientTransformation:
    tau = learning.adaptivity
    scale = optax.scale_by_rms(learning.server_decay, tau, eps_in_sqrt=False, bias_correction=True)
    return optax.chain(scale, optax.trace(learning.momentum))


def _moments(transform: Callable[..., Any]) -> Callable[..., optax.GradientTransformation]:
    return lambda learning: transform(
        b1=learning.momentum, b2=learning.server_decay, eps=learning.adaptivity
    )


SERVER_OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": lambda learning: optax.trace(learning.momentum),
    "nesterov": lambda learning: optax.trace(learning.momentum, nesterov=True),
    "adagrad": _adagrad,
    "rmsprop": _rmsprop,
    "adam": _moments(optax.scale_by_adam),
    "amsgrad": _moments(optax.scale_by_amsgrad),
    "yogi": _moments(optax.scale_by_yogi),
}
