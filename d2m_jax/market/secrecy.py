"""Privacy, partial models and secure sums do not go with every other choice."""

from d2m_jax import privacy
from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import Spec
from d2m_jax.core.choices import label, lookup
from d2m_jax.tasks import Task


def check_secrecy(spec: Spec, task: Task | None = None) -> None:
    """Raises a ValueError, one sentence, for choices that do not go together.

    Without a task it is not known whether the model can be cut into parts.
    """
    lookup(dict.fromkeys(privacy.UNITS), spec.privacy, "unit of privacy")
    if spec.privacy == "example" and spec.local_steps > 1:
        raise ValueError(
            f"privacy per example is accounted for one step a round; local_steps is "
            f"{spec.local_steps}: set it to 1, or privacy to 'update'"
        )
    if spec.scaffold and (label(spec.client_momentum), spec.privacy) != ("none", "none"):
        raise ValueError(
            f"scaffold corrects plain local gradients: set client_momentum and privacy to 'none', "
            f"not {label(spec.client_momentum)!r} and {spec.privacy!r}"
        )
    if spec.privacy != "none" and label(spec.contribution) == "unique":
        raise ValueError(
            "contribution 'unique' opens batches to the nodes, and others than those that privacy "
            f"{spec.privacy!r} trains on: choose another contribution, or set privacy to 'none'"
        )
    if spec.partial or spec.secure_group:
        _check_hidden(spec)
    if spec.partial:
        _check_partial(spec, task)


def secrecy_warnings(spec: Spec) -> list[str]:
    """What privacy at the sellers does not cover, one sentence each."""
    if spec.privacy == "none" or not (spec.unit_slots and spec.openings):
        return []
    return [
        f"The epsilon of privacy {spec.privacy!r} is that of one unit, not of an owner with "
        f"several, and does not cover the {spec.openings} examples that every unit shows to nodes."
    ]


def check_private_numbers(spec: Spec, hparams: HParams) -> None:
    """Raises a ValueError for numbers of the training that privacy per example leaves out."""
    for name in ("weight_decay", "proximal"):
        if spec.privacy == "example" and getattr(hparams.learning, name) != 0:
            raise ValueError(
                f"learning.{name} does nothing with privacy 'example', whose gradients are those "
                "of single examples: set it to 0"
            )


def _check_hidden(spec: Spec) -> None:
    """What partial models and secure sums have in common: the server sees no single update."""
    what = "partial models" if spec.partial else "secure sums"
    own_rule = label(spec.sampler) in privacy.JUDGES
    rule = label(spec.sampler) if own_rule else label(spec.aggregator)
    if spec.partial and spec.secure_group:
        raise ValueError(
            "partial models and secure sums cannot be combined: how many sellers of a group cover "
            "a parameter would have to be known"
        )
    if spec.secure_group:
        privacy.check_secure(rule, spec.num_sampled, spec.secure_group)
    if spec.sampler != "uniform" or spec.aggregator == "own":
        raise ValueError(
            f"{what} need sampler 'uniform' and a named aggregator, not sampler "
            f"{label(spec.sampler)!r} with aggregator {label(spec.aggregator)!r}"
        )
    if spec.scaffold:
        raise ValueError(f"{what} do not go with scaffold, which corrects whole single updates")
    if spec.secure_group and rule in privacy.BY_SELLER:
        raise ValueError(f"rule {rule!r} knows sellers apart, which secure sums hide")
    if spec.secure_group and label(spec.contribution) not in privacy.GROUP_CONTRIBUTIONS:
        raise ValueError(
            f"contribution {label(spec.contribution)!r} needs single updates, which secure sums "
            f"hide; valid: {', '.join(privacy.GROUP_CONTRIBUTIONS)}"
        )


def _check_partial(spec: Spec, task: Task | None) -> None:
    if task is not None and task.units is None:
        raise ValueError(
            f"partial models cut a network along its hidden units, and {task.name!r} does not say "
            "what those are: choose model 'mlp', or give a Task with `units`"
        )
    wrong = {
        "aggregator": (label(spec.aggregator) not in privacy.SUM_RULES, "mean"),  # others compare
        "pre_aggregators": (bool(spec.pre_aggregators), "none"),
        "privacy": (spec.privacy == "example", "none' or 'update"),
        "client_momentum": (label(spec.client_momentum) != "none", "none"),
    }
    for field, (is_wrong, wanted) in wrong.items():
        if is_wrong:
            raise ValueError(
                f"partial models need {field} '{wanted}', not {getattr(spec, field)!r}: each "
                "seller trains other parameters"
            )
