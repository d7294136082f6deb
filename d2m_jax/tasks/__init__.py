"""Networks as pure functions of one flat parameter vector.

Here: the models by name, evaluation, losses of candidate steps. Not here: training (`sellers/`).
Read next: `base.py`.
"""

from d2m_jax.core.choices import lookup
from d2m_jax.tasks.base import Model, cross_entropies
from d2m_jax.tasks.cnn import cifar_cnn, mnist_cnn
from d2m_jax.tasks.dense import logreg, mlp
from d2m_jax.tasks.metrics import evaluate, losses_of_candidates
from d2m_jax.tasks.mixtures import losses_of_mixtures

__all__ = [
    "MODELS",
    "Model",
    "cifar_cnn",
    "cross_entropies",
    "evaluate",
    "logreg",
    "losses_of_candidates",
    "losses_of_mixtures",
    "make_model",
    "mlp",
    "mnist_cnn",
]


def make_model(name: str, input_shape: tuple[int, int, int], num_classes: int) -> Model:
    """Returns the model called `name` for images of `input_shape`.

    Args:
        name: a key of `MODELS`.
        input_shape: (H, W, Ch).
        num_classes: L, at least 2.

    Raises:
        ValueError: unknown name, or a shape that the network cannot take.
    """
    build = lookup(MODELS, name, "model")
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise ValueError(f"input_shape must be (height, width, channels), not {input_shape}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, not {num_classes}")
    height, width, channels = input_shape
    return build((height, width, channels), num_classes)


MODELS = {
    "logreg": logreg,
    "mlp": mlp,
    "mnist_cnn": mnist_cnn,
    "cifar_cnn": cifar_cnn,
}
