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
from d2m_jax.core.choices import label, pick
from d2m_jax.core.promises import Like, check_call, checked, floats
from d2m_jax.core.types import Number, PyTree

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

    Raises:
        ValueError: an unknown name, no function, or one that makes no optimiser.

    Source: Reddi et al. 2021 (FedOpt), Algorithm 2; moments are corrected for their start, which
    that paper leaves out and optax does.
    """
    make, what = pick(SERVER_OPTIMIZERS, choice, "server optimiser"), "server optimiser"
    what = f"{what} {label(choice)!r}"
    if not callable(make):
        raise ValueError(f"{what} must be a function of the numbers of learning that makes one")
    check_call(what, make, learning)
    made: Any = make(learning)
    if not isinstance(made, optax.GradientTransformation):
        raise ValueError(
            f"{what} must make an optax.GradientTransformation, not {type(made).__name__}"
        )
    return optax.GradientTransformation(
        made.init,
        checked(made.update, what, lambda step, memory: (floats(*step.shape), Like(memory))),
    )


def is_finite(memory: PyTree) -> jax.Array:
    """[] bool: no overflow in any array of the memory."""
    finite = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(memory)]
    return jnp.stack([jnp.bool_(True), *finite]).all()


def sgd(learning: Learning) -> optax.GradientTransformation:
    """Gradient descent with a heavy ball: v <- momentum v + g."""
    return optax.trace(learning.momentum)


def nesterov(learning: Learning) -> optax.GradientTransformation:
    """Gradient descent with Nesterov's momentum."""
    return optax.trace(learning.momentum, nesterov=True)


def adagrad(learning: Learning) -> optax.GradientTransformation:
    """FedAdagrad: steps divided by the root of all squares so far (Reddi et al., ICLR 2021)."""
    scale = optax.scale_by_rss(jnp.square(learning.adaptivity), eps=0.0)
    return optax.chain(scale, optax.trace(learning.momentum))


def rmsprop(learning: Learning) -> optax.GradientTransformation:
    """RMSProp: steps divided by the root of a running mean of squares, then a heavy ball."""
    tau = learning.adaptivity
    scale = optax.scale_by_rms(learning.server_decay, tau, eps_in_sqrt=False, bias_correction=True)
    return optax.chain(scale, optax.trace(learning.momentum))


def adam(learning: Learning) -> optax.GradientTransformation:
    """FedAdam (Reddi et al., ICLR 2021), with Adam's correction of the first steps."""
    return optax.scale_by_adam(**_moments(learning))


def amsgrad(learning: Learning) -> optax.GradientTransformation:
    """Adam whose second moment never falls (Reddi et al., ICLR 2018)."""
    return optax.scale_by_amsgrad(**_moments(learning))


def yogi(learning: Learning) -> optax.GradientTransformation:
    """FedYogi (Reddi et al., ICLR 2021): a second moment that moves by signs."""
    return optax.scale_by_yogi(**_moments(learning))


def _moments(learning: Learning) -> dict[str, Number]:
    return {"b1": learning.momentum, "b2": learning.server_decay, "eps": learning.adaptivity}


SERVER_OPTIMIZERS: dict[str, MakeOptimizer] = {
    fn.__name__: fn for fn in (sgd, nesterov, adagrad, rmsprop, adam, amsgrad, yogi)
}
