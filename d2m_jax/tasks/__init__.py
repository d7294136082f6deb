"""What is learnt: any parameters, any batch, a loss per example, a metric in [0, 1].

Read first: `task.py` (what a task is), then `flat.py` (how the market sees it). Not here: data
(`data/`), training (`sellers/`).
"""

from collections.abc import Callable
from typing import Any

from d2m_jax.core.choices import label, pick
from d2m_jax.core.dataset import Dataset
from d2m_jax.core.promises import check_call
from d2m_jax.tasks.adapters import from_equinox, from_flax, from_haiku
from d2m_jax.tasks.checking import check_examples, check_fields
from d2m_jax.tasks.cnn import cifar_cnn, mnist_cnn
from d2m_jax.tasks.dense import logreg, mlp
from d2m_jax.tasks.evaluation import check_unit, evaluate, losses_of_candidates, losses_of_mixtures
from d2m_jax.tasks.flat import Model, flatten
from d2m_jax.tasks.measures import METRICS
from d2m_jax.tasks.noise import noise_like, outputs_on_noise
from d2m_jax.tasks.problem import Problem, is_labelled, problem_of
from d2m_jax.tasks.tables import table_mlp
from d2m_jax.tasks.task import Metric, Task
from d2m_jax.tasks.text import char_lstm, text_bow, text_cnn

__all__ = [
    "METRICS",
    "MODELS",
    "Metric",
    "Model",
    "Problem",
    "Task",
    "char_lstm",
    "check_examples",
    "check_unit",
    "cifar_cnn",
    "evaluate",
    "flatten",
    "from_equinox",
    "from_flax",
    "from_haiku",
    "is_labelled",
    "logreg",
    "losses_of_candidates",
    "losses_of_mixtures",
    "make_model",
    "make_task",
    "mlp",
    "mnist_cnn",
    "noise_like",
    "outputs_on_noise",
    "problem_of",
    "table_mlp",
    "text_bow",
    "text_cnn",
]

Builder = Callable[[Problem], Task]


def make_task(
    choice: str | Task | Builder,
    dataset: Dataset | Problem | None = None,
    metric: str | Metric = "default",
) -> Task:
    """The task that a model makes of a data set.

    Args:
        choice: a key of `MODELS`, a `Task`, or a function `Problem -> Task`.
        dataset: or its `Problem`; not looked at when the choice is a `Task`.
        metric: a key of `METRICS` or a `Metric`; "default" is the task's own.

    Raises:
        ValueError: an unknown name, or a problem that the model cannot take.
    """
    task: Any = pick(MODELS, choice, "model")
    if not isinstance(task, Task):
        if dataset is None:
            raise ValueError(f"model {label(choice)!r} must know the data set that it is to fit")
        problem = dataset if isinstance(dataset, Problem) else problem_of(dataset)
        if not problem.input_shape or min(problem.input_shape) < 1:
            raise ValueError(f"the inputs of an example have the empty shape {problem.input_shape}")
        task = _made(choice, task, problem)
    if not (isinstance(metric, str) and metric == "default"):
        task = task._replace(metric=pick(METRICS, metric, "metric"))
    check_fields(task)
    return task


def _made(choice: Any, build: Any, problem: Problem) -> Task:
    what = f"model {label(choice)!r}"
    check_call(f"{what}, which is no Task and so a function of the Problem,", build, problem)
    task = build(problem)
    if not isinstance(task, Task):
        raise ValueError(f"{what} must make a Task of the Problem, not {type(task).__name__}")
    return task


def make_model(
    choice: str | Task | Builder,
    dataset: Dataset | Problem | None = None,
    metric: str | Metric = "default",
) -> Model:
    """The task of `make_task` over flat parameters."""
    return flatten(make_task(choice, dataset, metric))


MODELS: dict[str, Builder] = {
    "logreg": logreg,
    "mlp": mlp,
    "mnist_cnn": mnist_cnn,
    "cifar_cnn": cifar_cnn,
    "table_mlp": table_mlp,
    "text_bow": text_bow,
    "text_cnn": text_cnn,
    "char_lstm": char_lstm,
}
