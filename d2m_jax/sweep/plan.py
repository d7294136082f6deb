"""From points to runs: every point a full configuration, checked, hashed, and put in a group.

Runs of one group differ in numbers, in data, and in the names of rule, attack, stop rule and
payment; one compiled program serves them all. Not here: compiling and running (`program.py`,
`runner.py`).
"""

import dataclasses
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from d2m_jax.config.hparams import PARTS
from d2m_jax.config.parsing import Config, parse_config, to_dict
from d2m_jax.config.spec import Spec
from d2m_jax.core.choices import is_own, label
from d2m_jax.market.choices import CHOICES, chosen, part_numbers
from d2m_jax.market.validation import validate
from d2m_jax.sweep.space import Point

Constraints = Mapping[str, Callable[[Config], bool]]  # {"why it must hold": holds(config)}

OwnNumbers = dict[str, dict[str, dict[str, Any]]]  # field of HParams -> name of the part -> numbers


class Rule(NamedTuple):
    """What is chosen by index among the aggregation rules of a group."""

    name: Any  # or the user's own
    pre: tuple[Any, ...]
    preset: str


class Assault(NamedTuple):
    """What is chosen by index among the attacks of a group."""

    name: Any  # or the user's own
    options: tuple[tuple[str, Any], ...]


class Pick(NamedTuple):
    """What is chosen by index for a run."""

    rule: Rule
    attack: Assault
    stop_rule: Any  # a name, or the user's own
    payment: Any


class Picks(NamedTuple):
    """What the runs of a group choose from, in the order of the indices."""

    rules: tuple[Rule, ...]
    attacks: tuple[Assault, ...]
    stop_rules: tuple[Any, ...]
    payments: tuple[Any, ...]

    def places(self, pick: Pick) -> tuple[int, ...]:
        """The index of each choice."""
        return tuple(all_of.index(one) for all_of, one in zip(self, pick))


class Run(NamedTuple):
    """One point of a sweep, ready to run."""

    key: str  # hash of the full configuration, presets and package version included
    place: int  # among the points, from 0
    point: Point  # what the axes set
    config: Config


class Group(NamedTuple):
    """Runs that one program serves."""

    spec: Spec  # of the program: what is chosen by index taken out
    runs: list[Run]
    picks: Picks

    @property
    def name(self) -> str:
        """Says what is special, and ends with a hash of what the program is compiled for."""
        key = _program_key(self.runs[0].config)
        digest = _digest(stable((key, self.picks)))[:8]
        spec = self.spec
        return f"{label(spec.sampler)} {label(spec.model)} {spec.num_sellers} {digest}"

    @property
    def cells(self) -> dict[Pick, list[Run]]:
        """The runs by what is chosen by index: only runs of one cell share a chunk."""
        cells: dict[Pick, list[Run]] = {}
        for run in self.runs:
            cells.setdefault(pick_of(run.config), []).append(run)
        return cells


class Plan(NamedTuple):
    """What a sweep will do."""

    groups: list[Group]
    refused: list[tuple[Run, str]]  # points that `validate` refuses, with the sentence
    skipped: Counter[str]  # points left out, by constraint
    repeated: int  # points that come twice

    @property
    def runs(self) -> list[Run]:
        """All runs, group by group."""
        return [run for group in self.groups for run in group.runs]

    @property
    def keys(self) -> list[str]:
        """Of all runs and of the refused points."""
        return [run.key for run in self.runs] + [run.key for run, _ in self.refused]

    @property
    def axes(self) -> dict[str, list[Any]]:
        """The fields that are set, with their values in order of appearance."""
        axes: dict[str, dict[Any, None]] = {}
        for run in sorted(self.runs, key=lambda run: run.place):
            for field, value in run.point.items():
                axes.setdefault(field, {})[value] = None
        return {field: list(values) for field, values in axes.items()}


def rule_of(config: Config) -> Rule:
    """The aggregation rule of a configuration."""
    return Rule(config.spec.aggregator, config.spec.pre_aggregators, config.spec.preset)


def assault_of(config: Config) -> Assault:
    """The attack of a configuration."""
    return Assault(config.spec.attack, config.spec.attack_options)


def pick_of(config: Config) -> Pick:
    """What a configuration chooses by index."""
    spec = config.spec
    return Pick(rule_of(config), assault_of(config), spec.stop_rule, spec.payment)


def picks_of(runs: Iterable[Run]) -> Picks:
    """What these runs choose from, in the same order in every process."""
    choices = zip(*{pick_of(run.config) for run in runs})
    return Picks(*(tuple(sorted(set(some), key=stable)) for some in choices))


def make_plan(
    base: Mapping[str, Any], points: Iterable[Point], constraints: Constraints | None = None
) -> Plan:
    """Turns points into runs and groups them; the order of the points does not matter.

    Args:
        base: a configuration as a nested dictionary (`ConfigDict.to_dict()`).
        points: from `space.py`.
        constraints: by name; a point for which one is false is skipped and counted.

    Raises:
        ValueError: a point sets a field that does not exist, or to a value of another type.
    """
    skipped: Counter[str] = Counter()
    refused: list[tuple[Run, str]] = []
    runs: dict[str, Run] = {}
    repeated = 0
    points = [{field: _frozen(value) for field, value in point.items()} for point in points]
    own = own_numbers(points)
    cells: dict[Any, Cell] = {}
    for place, point in enumerate(points):
        config, cell = _in_cell(cells, base, point, own)
        broken = [name for name, holds in (constraints or {}).items() if not holds(config)]
        if broken:
            skipped[broken[0]] += 1
            continue
        run = Run(_key_of(config, cell.texts), place, point, config)
        if run.key in runs:
            repeated += 1
            continue
        runs[run.key] = run
        if cell.complaint is None:
            cell.complaint = _complaint(cell.config)
        if why := _bad_seeds(config) or cell.complaint:
            refused.append((run, why))
    bad = {run.key for run, _ in refused}
    good = (runs[key] for key in sorted(runs) if key not in bad)
    return Plan(list(_groups(good)), refused, skipped, repeated)


def own_numbers(points: Iterable[Point]) -> OwnNumbers:
    """The default numbers of all own parts that any of these points chooses.

    An axis may so set them in every point, as it may those of named parts, chosen or not.
    """
    found: OwnNumbers = {}
    for field, choice in CHOICES.items():
        if choice.numbers is not None:
            values = [point.get(f"spec.{field}") for point in points]
            parts = {id(value): value for value in values if is_own(value)}.values()
            known = found.setdefault(choice.numbers, {})
            for part in parts:
                mine = part_numbers(choice, part)
                if known.setdefault(label(part), mine) != mine:
                    raise ValueError(
                        f"two parts of your own are called {label(part)!r} and have different "
                        "numbers: give them names of their own"
                    )
    return found


def configure(base: Mapping[str, Any], point: Point, own: OwnNumbers | None = None) -> Config:
    """The base with the fields of the point set.

    Args:
        base: a configuration as a nested dictionary.
        point: field to value.
        own: numbers of own parts that other points choose; this point may set them, to no effect.

    Raises:
        ValueError: no such field, or a value of another type; the sentence names the field.
    """
    tree: dict[str, Any] = {part: dict(value) if isinstance(value, Mapping) else value
            for part, value in base.items()}  # fmt: skip
    spec = {**tree["spec"], **{f[5:]: v for f, v in point.items() if f.startswith("spec.")}}
    tree["hparams"] = _with_own_numbers(tree["hparams"], spec)
    for group, known in (own or {}).items():
        tree["hparams"][group] = {**known, **tree["hparams"].get(group, {})}
    for path, value in point.items():
        *parents, last = path.split(".")
        node: Any = tree
        for name in parents:
            inner = node.get(name) if isinstance(node, Mapping) else None
            if isinstance(inner, Mapping):
                inner = node[name] = dict(inner)  # the base is not changed
            node = inner
        if not isinstance(node, dict) or last not in node or isinstance(node[last], Mapping):
            raise ValueError(f"the sweep sets {path}, which is no field of the configuration")
        node[last] = _like(node[last], value, path)
    # A seed out of range is refused with its point, as all that `validate` refuses.
    return parse_config({**tree, "seed": 0})._replace(seed=tree["seed"])


def _with_own_numbers(hparams: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a configuration, with places for those of the own parts that a spec holds."""
    found = dict(hparams)
    for field, choice in CHOICES.items():
        value = spec[field]
        if choice.numbers is not None and is_own(value):
            defaults = {label(value): part_numbers(choice, value)}
            found[choice.numbers] = {**defaults, **found.get(choice.numbers, {})}
    return found


def _like(old: Any, new: Any, path: str) -> Any:
    """The new value, of the old one's type (an integer may stand for a float)."""
    if hasattr(new, "item"):
        new = new.item()
    if isinstance(old, float) and isinstance(new, int) and not isinstance(new, bool):
        return float(new)
    if is_own(new) and (isinstance(old, str) or is_own(old)):
        return new
    if isinstance(new, str) and is_own(old):
        return new
    if isinstance(old, tuple) and isinstance(new, list | tuple):
        return tuple(new)
    if type(old) is not type(new):
        raise ValueError(
            f"the sweep sets {path} to {new!r}, but it is of type {type(old).__name__}"
        )
    return new


@dataclasses.dataclass
class Cell:
    """Points that differ in their seeds only: what they share is computed once."""

    config: Config  # of the first of them, with seeds 0
    texts: dict[str, str]  # of its parts without a seed
    complaint: str | None = None  # of `validate`, once it has been asked


def _in_cell(
    cells: dict[Any, Cell], base: Mapping[str, Any], point: Point, own: OwnNumbers
) -> tuple[Config, Cell]:
    """The configuration of a point, and the cell of those that differ from it in seeds only."""
    given = {"seed": base.get("seed"), "data.seed": base["data"].get("seed")}
    seeds = {f: v for f, v in {**given, **point}.items() if f in given and type(v) is int}
    kind = {f: repr(v) if isinstance(v, tuple) else type(v) for f, v in point.items()}  # 1 is 1.0
    rest = frozenset((f, kind[f], v) for f, v in point.items() if f not in seeds)
    key = rest, frozenset(seeds)
    if key not in cells:
        config = configure(base, {**point, **dict.fromkeys(seeds, 0)}, own)
        cells[key] = Cell(config, _texts(config))
    cell = cells[key]
    return _with_seeds(cell.config, **seeds), cell


def _with_seeds(config: Config, **seeds: int) -> Config:
    """The configuration with these seeds, `seed` and `data.seed`."""
    data = dataclasses.replace(config.data, seed=seeds.get("data.seed", config.data.seed))
    return config._replace(data=data, seed=seeds.get("seed", config.seed))


def config_key(config: Config) -> str:
    """Hash of a full configuration and of the package version: 16 hexadecimal digits."""
    return _key_of(config, _texts(config))


def _texts(config: Config) -> dict[str, str]:
    """The parts of a configuration that hold no seed, as text."""
    return {part: _json(getattr(config, part)) for part in ("hparams", "spec")}


def _key_of(config: Config, texts: Mapping[str, str]) -> str:
    """`config_key` of a configuration with these `_texts`."""
    from d2m_jax import __version__

    parts = {
        "d2m_jax": json.dumps(__version__),
        "data": _json(config.data),
        "hparams": texts["hparams"],
        "seed": _json(config.seed),
        "spec": texts["spec"],
    }
    text = ", ".join(f'"{name}": {part}' for name, part in parts.items())  # as `json.dumps`
    return _digest(f"{{{text}}}")[:16]


def _json(value: Any) -> str:
    return json.dumps(to_dict(value), sort_keys=True, default=str)


def _frozen(value: Any) -> Any:
    """Lists as tuples, and parts with a hash, so that values can be compared and counted."""
    if is_own(value):
        return value if isinstance(value, Hashable) else functools.partial(value)
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _bad_seeds(config: Config) -> str:
    if not 0 <= config.seed < 2**31:
        return f"seed must be from 0 to 2**31 - 1, not {config.seed}"
    seed = config.data.seed
    return f"data.seed must not be negative, not {seed}" if seed < 0 else ""


def stable(value: Any) -> str:
    """A text that is the same in every process for the same choices, own ones by their code."""
    return repr(to_dict(value))


def _digest(value: Any) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()


def _complaint(config: Config) -> str:
    try:
        validate(config.spec, config.hparams, config.data)
    except ValueError as error:
        return str(error)
    return ""


def _groups(runs: Iterable[Run]) -> Iterator[Group]:
    by_program: dict[Any, list[Run]] = {}
    keys: dict[tuple[int, int], Any] = {}  # of a cell: its runs hold the same numbers
    for run in runs:
        data = run.config.data
        cell = id(run.config.hparams), data.seed if data.job_classes else 0
        if cell not in keys:
            keys[cell] = _program_key(run.config)
        by_program.setdefault(keys[cell], []).append(run)
    for _, members in sorted(by_program.items(), key=lambda item: stable(item[0])):
        yield Group(
            spec=_without_choices(members[0].config.spec),
            runs=members,
            picks=picks_of(members),
        )


def _without_choices(spec: Spec) -> Spec:
    return dataclasses.replace(
        spec,
        aggregator="own" if spec.aggregator == "own" else "mean",
        pre_aggregators=(),
        preset="paper",
        attack="none",
        attack_options=(),
        stop_rule="lead",
        payment="proportional",
    )


def _program_key(config: Config) -> Any:
    """Whatever changes shapes or the traced program, apart from what is chosen by index."""
    rule = chosen(config.spec, "aggregator")
    inputs = tuple(sorted(set(getattr(rule, "uses", ())) & {"root", "losses", "losses_of"}))
    if getattr(rule, "by_seller", False):
        inputs += ("memory",)  # [N, D], and a switch copies the memory of all its rules
    data = config.data
    examples = (data.num_validation, data.correction_share)
    shapes = (data.name, *examples, data.num_root, data.max_train, *_dealt_shape(config))
    hparams = config.hparams
    switched = ("attack", "aggregator", "stop_rule", "payment")
    names = [tuple(sorted(getattr(hparams, part))) for part in PARTS if part not in switched]
    money, asked = hparams.money, hparams.requests
    given = (money.buyer_values, money.buyer_conduct, asked.tags, asked.tau, asked.wants)
    numbers = (*map(len, given), *names)
    return (_without_choices(config.spec), inputs, shapes, numbers)


def _dealt_shape(config: Config) -> tuple[Any, ...]:
    """What decides how many rows are dealt, where not all of them are: [R] of `FederatedData`.

    Of jobs with classes of their own everything follows from the classes and the split. Units cut
    by a given size are [num_units, unit_size] whatever is held; one's own partition may
    leave rows out, as many as its numbers say.
    """
    data = config.data
    if data.job_classes:  # how many examples of its classes a buyer gets is a matter of the split
        return data.job_classes, data.seed
    size = data.unit_size if config.spec.unit_slots else 0
    if size or not is_own(data.partition):
        return (size,)
    own = (data.alpha, data.classes_per_seller, data.gamma, data.sigma, data.min_samples)
    return size, data.partition, own
