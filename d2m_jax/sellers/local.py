"""Local training of one seller: a minibatch gradient, or several steps of SGD.

Not here: momentum (`momentum.py`), control variates (`scaffold.py`), all sampled sellers at once
(`train.py`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from d2m_jax.core.training import BatchFn, OfBatch
from d2m_jax.core.types import Key


class Regularizer(NamedTuple):
    """What is added to every plain gradient; a Python 0 or None leaves a term out."""

    mu: jax.Array | float = 0.0
    weight_decay: jax.Array | float = 0.0
    control: jax.Array | None = None  # [D]

    def add(self, grad: jax.Array, at: jax.Array, start: jax.Array | None) -> jax.Array:
        """Returns grad + weight_decay at + mu (at - start) + control, all [D].

        `start` is None at the starting point itself, where the pull of FedProx vanishes.
        """
        if not _is_zero(self.weight_decay):
            grad = grad + self.weight_decay * at
        if start is not None and not _is_zero(self.mu):
            grad = grad + self.mu * (at - start)
        return grad if self.control is None else grad + self.control


def local_update(
    key: Key,
    theta: jax.Array,
    batch_fn: BatchFn,
    loss_fn: OfBatch,
    *,
    local_steps: int = 1,
    lr_local: jax.Array | float = 0.1,
    mu: jax.Array | float = 0.0,
    weight_decay: jax.Array | float = 0.0,
    control: jax.Array | None = None,
    steps: jax.Array | None = None,
) -> jax.Array:
    """Returns the mean gradient along one seller's path of local SGD.

        g_i     = grad loss(theta_i; batch_i) + weight_decay theta_i + mu (theta_i - theta)
                  + control
        theta_i = theta - lr_local (g_0 + ... + g_{i-1})
        update  = (g_0 + ... + g_{K-1}) / K = (theta - theta_K) / (lr_local K)

    With one step this is the minibatch gradient and lr_local plays no part. It has the size of a
    gradient for any K, so a server rate means the same for all K, and the server rate
    K * lr_local is FedAvg exactly. Dividing by the steps really done makes a straggler count as
    much as the others (as FedNova does). Non-finite results are passed on as they are.

    Args:
        key: consumed; batch i is drawn from fold_in(key, i).
        theta: [D] the model that all sellers start from.
        batch_fn: key -> (batch, key of the model's own noise).
        loss_fn: (theta, batch, key) -> scalar, the mean over the batch.
        local_steps: K, static.
        lr_local: local learning rate.
        mu: FedProx pull towards theta; 0 is plain SGD.
        weight_decay: L2 coefficient.
        control: [D] added to every gradient (SCAFFOLD: c - c_i); none: nothing.
        steps: scalar int32, how many of the K steps this seller finishes; none: all. With 0 steps
            the update is 0.

    Returns:
        [D] float32.

    Source: McMahan et al. 2017 (FedAvg); Li et al. 2020 (FedProx), eq. 2; Karimireddy et al. 2020
    (SCAFFOLD), Algorithm 1; Wang et al. 2020 (FedNova) for the division by the steps done.
    """
    check_local_steps(local_steps)
    regularizer = Regularizer(mu, weight_decay, control)
    gradient = jax.grad(loss_fn)
    first = regularizer.add(gradient(theta, *batch_fn(jax.random.fold_in(key, 0))), theta, None)
    return finish(
        key,
        theta,
        first,
        batch_fn,
        gradient,
        local_steps=local_steps,
        lr_local=lr_local,
        regularizer=regularizer,
        steps=steps,
    )


def finish(
    key: Key,
    theta: jax.Array,
    first: jax.Array,
    batch_fn: BatchFn,
    gradient_fn: OfBatch,
    *,
    local_steps: int,
    lr_local: jax.Array | float,
    regularizer: Regularizer,
    steps: jax.Array | None,
) -> jax.Array:
    """Returns the update of one seller whose first gradient g_0 [D] is known.

    The first step stands apart because all sellers take it at one theta, which is cheaper to
    compute for all of them together. Arguments otherwise as in `local_update`.
    """
    if steps is not None:
        first = jnp.where(steps > 0, first, 0.0)
    if local_steps == 1:
        return first

    def step(total: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        at = theta - lr_local * total
        grad = gradient_fn(at, *batch_fn(jax.random.fold_in(key, i)))
        new = total + regularizer.add(grad, at, theta)
        return (new if steps is None else jnp.where(i < steps, new, total)), None

    total, _ = jax.lax.scan(step, first, jnp.arange(1, local_steps, dtype=jnp.int32))
    if steps is None:
        return total / local_steps
    return total / jnp.maximum(steps, 1).astype(total.dtype)


def check_local_steps(local_steps: int) -> None:
    """Raises ValueError unless there is at least one step."""
    if local_steps < 1:
        raise ValueError(f"local_steps must be at least 1, not {local_steps}")


def _is_zero(value: jax.Array | float) -> bool:
    return isinstance(value, int | float) and value == 0
