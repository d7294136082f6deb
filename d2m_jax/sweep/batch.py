"""Runs as arrays: their numbers and their data stacked along a leading axis of worlds. Host only.

Numbers of all parts that a program picks by index travel together, each under the place of its
part, so that every run has the same tree. Read next: `program.py`.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from d2m_jax.config.arrays import money_like, requests_like, type_of
from d2m_jax.config.hparams import PARTS, HParams
from d2m_jax.config.parsing import Config
from d2m_jax.config.spec import DataSpec
from d2m_jax.core.types import PyTree
from d2m_jax.data import Dataset, FederatedData
from d2m_jax.market.choices import CHOICES, part_numbers
from d2m_jax.market.job_data import serving
from d2m_jax.market.world import deal
from d2m_jax.sweep.plan import Assault, Picks, Rule, pick_of

SHARED = ("pool", "stats", "test")  # the same for all worlds of a data set
HELD = ("rows", "starts", "sizes")  # of jobs with classes: what follows from who serves them
RECENT = 256  # runs of such jobs whose holdings are kept; those of others are dealt again


def stack_hparams(configs: Sequence[Config], picks: Picks) -> HParams:
    """The numbers of W runs, every leaf [W], typed as `as_arrays` types them."""
    trees = [_widened(config, picks) for config in configs]
    like = _like(trees[0])
    columns = zip(*(jax.tree.leaves(tree) for tree in trees))
    kinds = [type_of(path, leaf) for path, leaf in jax.tree.leaves_with_path(like)]
    leaves = [np.array(column, kind) for column, kind in zip(columns, kinds)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _widened(config: Config, picks: Picks) -> HParams:
    """The numbers of one run with a place for those of every part that is picked by index."""
    own, hparams = pick_of(config), config.hparams

    def wide(field: str, all_of: Sequence[Any], mine: Any) -> tuple[dict[str, Any], ...]:
        return tuple(
            getattr(hparams, field)
            if part == mine
            else default_numbers(field, part.name if isinstance(part, Rule | Assault) else part)
            for part in all_of
        )

    replaced: Any = hparams
    return replaced.replace(
        aggregator=wide("aggregator", picks.rules, own.rule),
        attack=wide("attack", picks.attacks, own.attack),
        stop_rule=wide("stop_rule", picks.stop_rules, own.stop_rule),
        payment=wide("payment", picks.payments, own.payment),
    )


def default_numbers(field: str, part: Any) -> dict[str, Any]:
    """The numbers that a part of this field of the spec has when nobody sets any."""
    return part_numbers(CHOICES[field], part)


def _like(hparams: Any) -> HParams:
    """Defaults whose types decide those of the arrays: see `as_arrays`."""
    floats: Any = {part: jax.tree.map(lambda _: 0.0, getattr(hparams, part)) for part in PARTS}
    return HParams(
        money=money_like(hparams.money), requests=requests_like(hparams.requests), **floats
    )


class Dealer:
    """The data of a sweep: one pool for all, and what each data seed deals, made when needed."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._dealt: dict[Any, dict[str, Any]] = {}
        self._shared: dict[str, Any] = {}
        self._held = functools.lru_cache(RECENT)(self._hold)

    def deal(self, config: Config) -> dict[str, Any]:
        """The fields of `FederatedData` that differ between worlds, as numpy arrays.

        Raises:
            ValueError: an impossible partition.
        """
        wanted, spec = config.data, config.spec
        if wanted.job_classes:
            serves = serving(spec, config.hparams, config.seed)
            assert serves is not None  # classes are for several jobs, see `check_job_classes`
            held = self._held(wanted, spec.num_sellers, serves.tobytes())
            return {**self._dealt[wanted, spec.num_sellers, 0], **held}
        key = wanted, spec.num_sellers, spec.unit_slots
        if key not in self._dealt:
            self._dealt[key] = self._make(*key)
        return self._dealt[key]

    def _hold(self, wanted: DataSpec, num_sellers: int, who: bytes) -> dict[str, Any]:
        """What sellers hold where [N, J] of them serve a job; all else is kept once for a split."""
        serves = np.frombuffer(who, bool).reshape(num_sellers, -1)
        made = self._make(wanted, num_sellers, 0, serves)
        held = {name: made.pop(name) for name in HELD}
        self._dealt.setdefault((wanted, num_sellers, 0), made)
        return held

    def _make(
        self, wanted: DataSpec, num_sellers: int, unit_slots: int, serves: np.ndarray | None = None
    ) -> dict[str, Any]:
        data = deal(
            self.dataset,
            wanted,
            num_sellers,
            unit_slots=unit_slots,
            whole_pool=True,
            serves=serves,
        )
        if not self._shared:
            self._shared = {name: getattr(data, name) for name in SHARED}
        own = {f.name for f in dataclasses.fields(FederatedData)} - set(SHARED)
        return {name: jax.tree.map(np.asarray, getattr(data, name)) for name in own}

    @property
    def shared(self) -> dict[str, Any]:
        """Pool, moments and test set."""
        return self._shared

    def stack(self, configs: Sequence[Config]) -> PyTree:
        """The data of W runs that is their own, every leaf [W, ...]; the same shapes in all."""
        dealt = [self.deal(config) for config in configs]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *dealt)


def join(own: dict[str, Any], shared: dict[str, Any]) -> FederatedData:
    """One world's data from its own part and the part of all."""
    return FederatedData(**own, **shared)
