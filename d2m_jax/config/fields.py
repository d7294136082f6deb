"""Every field of a configuration with its type, default and meaning, read from the code.

The meaning of a field is the comment behind it, or its line in the docstring of the part whose
number it is. Nothing is written twice.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from d2m_jax.cone import ConeParams
from d2m_jax.config.hparams import PARTS, Conduct, HParams, Learning, Money, Privacy, Requests
from d2m_jax.config.parsing import default_config
from d2m_jax.config.population import Population
from d2m_jax.config.shares import Shares
from d2m_jax.config.spec import DataSpec, Spec
from d2m_jax.core.choices import functions_of
from d2m_jax.ledger import Rules
from d2m_jax.market.choices import CHOICES
from d2m_jax.sampling import DefenceParams

CLASSES = {
    "data": DataSpec,
    "spec": Spec,
    "hparams": HParams,
    "hparams.learning": Learning,
    "hparams.privacy": Privacy,
    "hparams.population": Population,
    "hparams.conduct": Conduct,
    "hparams.defence": DefenceParams,
    "hparams.cone": ConeParams,
    "hparams.money": Money,
    "hparams.requests": Requests,
    "hparams.rules": Rules,
}
LINE = re.compile(r"\s*(\w+)\s*:.*?#\s*(.+)")
ENTRY = r"^ *{name}: (.+(?:\n {{8,}}.+)*)"  # of a docstring, with the lines that go on


class Field(NamedTuple):
    """One field of a configuration."""

    path: str
    kind: str
    default: str
    meaning: str


def fields() -> list[Field]:
    """All fields of the default configuration, in its order."""
    return [
        Field(path, type(value).__name__, shown(value), meaning(path))
        for path, value in leaves(default_config().to_dict())
    ]


def leaves(tree: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    """Paths and values of nested dictionaries."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{start}{name}.")
        else:
            yield f"{start}{name}", value


def shown(value: Any) -> str:
    """A default as it is typed."""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return str(value)


def meaning(path: str) -> str:
    """What a field means; empty where the code does not say."""
    group, _, name = path.rpartition(".")
    if name in Shares._fields:
        return comments(Shares)[name]
    if group in CLASSES:
        return comments(CLASSES[group]).get(name, "")
    pieces = group.split(".")
    if len(pieces) == 3 and pieces[1] in PARTS:
        return of_number(pieces[1], pieces[2], name)
    return "of the run" if path == "seed" else ""


def comments(kind: type) -> dict[str, str]:
    """The comment behind every field of a class."""
    lines = inspect.getsource(kind).splitlines()
    return {found[1]: found[2].strip() for line in lines if (found := LINE.match(line))}


def of_number(group: str, part: str, name: str) -> str:
    """What the docstring of a part says of its number, or where to look."""
    for choice in CHOICES.values():
        if choice.numbers == group and part in choice.registry:
            for fn in functions_of(choice.registry[part]):
                text = inspect.getdoc(getattr(fn, "func", fn)) or ""
                found = re.search(ENTRY.format(name=name), text, re.MULTILINE)
                if found:
                    return " ".join(found[1].split())
            return f"of {part}: see `d2m show {choice.field}.{part}`"
    return ""
