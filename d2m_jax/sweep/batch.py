"""Runs as arrays: their numbers and their data stacked along a leading axis of worlds. Host only.

Numbers of all rules and attacks of a program travel together, each under the place of its rule or
attack, so that every run has the same tree. Read next: `program.py`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from d2m_jax.config.hparams import HParams, Money
from d2m_jax.config.parsing import NUMBERS, Config
from d2m_jax.config.spec import DataSpec
from d2m_jax.core.types import PyTree
from d2m_jax.data import FederatedData, RawDataset
from d2m_jax.market.world import deal
from d2m_jax.sweep.plan import Assault, Rule, assault_of, rule_of

SHARED = ("images", "labels", "mean", "std", "test")  # the same for all worlds of a data set


def stack_hparams(
    configs: Sequence[Config], rules: Sequence[Rule], attacks: Sequence[Assault]
) -> HParams:
    """The numbers of W runs, every leaf [W], typed as `as_arrays` types them."""
    trees = [_widened(config, rules, attacks) for config in configs]
    like = _like(trees[0])
    columns = zip(*(jax.tree.leaves(tree) for tree in trees))
    kinds = [np.int32 if isinstance(leaf, int) else np.float32 for leaf in jax.tree.leaves(like)]
    leaves = [np.array(column, kind) for column, kind in zip(columns, kinds)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _widened(config: Config, rules: Sequence[Rule], attacks: Sequence[Assault]) -> HParams:
    """The numbers of one run with a place for those of every rule and attack."""
    own_rule, own_attack = rule_of(config), assault_of(config)
    hparams = config.hparams
    return dataclasses.replace(
        hparams,
        attack={
            str(place): hparams.attack
            if attack == own_attack
            else NUMBERS["attack"].get(attack.name, {})
            for place, attack in enumerate(attacks)
        },
        aggregator={
            str(place): hparams.aggregator
            if rule == own_rule
            else NUMBERS["aggregator"].get(rule.name, {})
            for place, rule in enumerate(rules)
        },
    )


def _like(hparams: HParams) -> HParams:
    """Defaults whose types decide those of the arrays: see `as_arrays`."""
    buyers = len(hparams.money.buyer_values)
    floats = {
        part: jax.tree.map(lambda _: 0.0, getattr(hparams, part))
        for part in ("attack", "schedule", "aggregator")
    }
    return HParams(
        money=Money(buyer_values=(0,) * buyers, buyer_shading_bps=(0,) * buyers), **floats
    )


class Dealer:
    """The data of a sweep: one pool for all, and what each data seed deals, made when needed."""

    def __init__(self, raw: RawDataset) -> None:
        self.raw = raw
        self._dealt: dict[Any, dict[str, Any]] = {}
        self._shared: dict[str, Any] = {}

    def deal(self, spec: DataSpec, num_sellers: int) -> dict[str, Any]:
        """The fields of `FederatedData` that differ between worlds, as numpy arrays.

        Raises:
            ValueError: an impossible partition.
        """
        key = (spec, num_sellers)
        if key not in self._dealt:
            data = deal(self.raw, spec, num_sellers, whole_pool=True)
            if not self._shared:
                self._shared = {name: getattr(data, name) for name in SHARED}
            own = {f.name for f in dataclasses.fields(data)} - set(SHARED)
            self._dealt[key] = {name: jax.tree.map(np.asarray, getattr(data, name)) for name in own}
        return self._dealt[key]

    @property
    def shared(self) -> dict[str, Any]:
        """Pool, moments and test set."""
        return self._shared

    def width(self, configs: Sequence[Config]) -> int:
        """Images of the largest seller in any of the runs."""
        return max(self.deal(c.data, c.spec.num_sellers)["index"].shape[1] for c in configs)

    def stack(self, configs: Sequence[Config], width: int) -> PyTree:
        """The data of W runs that is their own, every leaf [W, ...].

        Args:
            configs: W of them, with the same shapes apart from the size of the largest seller.
            width: at least that size; the columns added are never drawn.
        """
        dealt = [self.deal(c.data, c.spec.num_sellers) for c in configs]
        padded = [{**one, "index": _pad(one["index"], width)} for one in dealt]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *padded)


def _pad(index: np.ndarray, width: int) -> np.ndarray:
    return np.pad(index, ((0, 0), (0, width - index.shape[1])), mode="edge")


def join(own: dict[str, Any], shared: dict[str, Any]) -> FederatedData:
    """One world's data from its own part and the part of all."""
    return FederatedData(**own, **shared)
