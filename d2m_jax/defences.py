"""Joins the sampling and the aggregation rooms: the defence that a spec names."""

from d2m_jax.aggregation import Aggregator, make_aggregator
from d2m_jax.hparams import HParams
from d2m_jax.sampling import Defence, make_defence
from d2m_jax.spec import Spec


def build_defence(spec: Spec, hparams: HParams, rule: Aggregator | None = None) -> Defence:
    """The defence of `spec.sampler` and `spec.aggregator`, with the rule's numbers bound.

    Call it inside the traced function, so that the rule's numbers may be traced. A `rule` that is
    given takes the place of `spec.aggregator`.

    Raises:
        ValueError: an unknown name, or an aggregator beside Corrected OSMD, which has its own.
    """
    if rule is None and spec.aggregator != "own":
        rule = make_aggregator(
            spec.aggregator, spec.pre_aggregators, spec.preset, **hparams.aggregator
        )
    return make_defence(
        spec.sampler,
        num_sampled=spec.num_sampled,
        aggregator=rule,
        horizon=spec.num_rounds,
    )
