"""Bad parties as shares of all parties: they become the counts of `Population` when parsed.

A share says the same thing of 20 sellers and of 1,000, so one axis of a sweep serves markets of
every size. Not here: the counts themselves (`population.py`).
"""

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from d2m_jax.config.population import Population
from d2m_jax.config.spec import Spec
from d2m_jax.core.choices import lookup

UNSET = -1.0  # the count beside it holds


class Shares(NamedTuple):
    """Fields of `hparams.population` of a configuration that stand in for counts."""

    byzantine_share: float = UNSET  # of num_sellers, in place of num_byzantine; -1: that count
    tag_liar_share: float = UNSET  # of num_sellers, in place of num_tag_liars; -1: that count
    stranger_share: float = UNSET  # of num_sellers, in place of num_strangers; -1: that count
    colluding_share: float = UNSET  # of num_nodes, in place of num_colluding; -1: that count
    lone_liar_share: float = UNSET  # of num_nodes, in place of num_lone_liars; -1: that count
    silent_share: float = UNSET  # of num_nodes, in place of num_silent; -1: that count
    copying_share: float = UNSET  # of num_nodes, in place of num_copying; -1: that count
    adaptive_share: float = UNSET  # of num_nodes, in place of num_adaptive; -1: that count


COUNTS = {  # share: the count that it becomes, and the field of the spec that it is a share of
    "byzantine_share": ("num_byzantine", "num_sellers"),
    "tag_liar_share": ("num_tag_liars", "num_sellers"),
    "stranger_share": ("num_strangers", "num_sellers"),
    "colluding_share": ("num_colluding", "num_nodes"),
    "lone_liar_share": ("num_lone_liars", "num_nodes"),
    "silent_share": ("num_silent", "num_nodes"),
    "copying_share": ("num_copying", "num_nodes"),
    "adaptive_share": ("num_adaptive", "num_nodes"),
}


def population(spec: Spec, **values: Any) -> Population:
    """Who is bad, by counts and shares: `population(spec, byzantine_share=0.3, num_silent=2)`.

    Args:
        spec: of the market; says how many sellers and nodes there are.
        values: fields of `Population` and of `Shares`.

    Raises:
        ValueError: an unknown field, no share, or a share and its count both set.
    """
    known = {**dataclasses.asdict(Population()), **Shares()._asdict()}
    for name in values:
        lookup(known, name, "field of the population")
    return Population(**as_counts(values, vars(spec)))


def as_counts(people: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a population with every share turned into its count.

    Args:
        people: counts and shares by name.
        sizes: with `num_sellers` and `num_nodes`.

    Raises:
        ValueError: no share, or a share and its count both set; one sentence.
    """
    counts = {name: value for name, value in people.items() if name not in COUNTS}
    for name, (count, size) in COUNTS.items():
        share = people.get(name, UNSET)
        if not _is_number(share) or (share != UNSET and not 0 <= share <= 1):
            raise ValueError(f"population.{name} must lie in [0, 1] (-1: unset), not {share!r}")
        if share == UNSET:
            continue
        if counts.get(count, 0) != 0:
            raise ValueError(
                f"population.{name} = {share:g} and population.{count} = {counts[count]} are both "
                f"set: leave {count} at 0 or {name} at -1"
            )
        counts[count] = rounded(share, sizes[size])
    return counts


def rounded(share: float, size: int) -> int:
    """floor(share * size + 1/2), in whole numbers: halves go up, and 0.35 of 10 is 4.

    The share counts as the decimal number that it is written as, not as the float next to it.
    """
    return int(Fraction(repr(float(share))) * int(size) + Fraction(1, 2))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
