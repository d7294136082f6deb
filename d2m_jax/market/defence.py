"""Joins the sampling and the aggregation rooms, and secure sums: the defence that a spec names."""

import jax
import jax.numpy as jnp

from d2m_jax import privacy
from d2m_jax.aggregation import Aggregator, make_aggregator
from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import Spec
from d2m_jax.core.types import Key, Number
from d2m_jax.sampling import (
    Context,
    Defence,
    DefenceInfo,
    DefenceParams,
    DefenceState,
    Selection,
    make_defence,
)


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
    defence = make_defence(
        spec.sampler,
        num_sampled=spec.num_sampled,
        aggregator=rule,
        horizon=spec.num_rounds,
        **hparams.sampler,
    )
    if spec.secure_group:
        return secured(defence, spec.secure_group, hparams.privacy.resolution)
    return defence


def secured(defence: Defence, group_size: int, step: Number) -> Defence:
    """The same defence, which gets to see the means of groups of sampled sellers only.

    A group is judged as one: its members are accepted and credited alike. If one of them is not
    valid the masks do not cancel, and the group is lost.

    Args:
        defence: without memory of single sellers.
        group_size: g, divides the number of sampled sellers.
        step: [] resolution of the fixed point.
    """

    def aggregate(
        key: Key,
        state: DefenceState,
        selection: Selection,
        updates: jax.Array,
        valid: jax.Array,
        context: Context,
        params: DefenceParams,
    ) -> tuple[jax.Array, DefenceState, DefenceInfo]:
        mask_key, rule_key = jax.random.split(key)
        rows = jnp.where(valid[:, None], updates, 0.0)
        uploads = privacy.masked_uploads(mask_key, rows, group_size, step)
        means, whole = privacy.group_means(uploads, valid & selection.present, group_size, step)
        means = privacy.release(means, "group mean")
        groups = Selection(selection.indices[::group_size], selection.weights[::group_size], whole)
        direction, state, info = defence.aggregate(
            rule_key, state, groups, means, whole, context, params
        )

        def members(of_group: jax.Array) -> jax.Array:
            return jnp.repeat(of_group, group_size)

        info = info._replace(
            accepted=members(info.accepted),
            flagged=members(info.flagged),
            duplicate=members(info.duplicate),
            gain=members(info.gain),
        )
        return direction, state, info

    return defence._replace(aggregate=aggregate)
