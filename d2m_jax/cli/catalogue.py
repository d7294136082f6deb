"""What there is to choose and to set, read from the code.

d2m list                    the kinds of parts, with their names
d2m list attacks            the attacks, a line each
d2m list config             every field of a configuration: type, default, meaning
d2m list config learning    those that have the word in their name or meaning
"""

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from rich.table import Table

from d2m_jax import data
from d2m_jax.cli import door
from d2m_jax.config.fields import Field, fields
from d2m_jax.core.choices import functions_of, lookup
from d2m_jax.market.choices import CHOICES


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; see `door.enter`."""
    return door.enter(run, argv, define=define, about=__doc__, more=9)


def define(values: flags.FlagValues) -> None:
    """No flags."""
    del values


def kinds() -> dict[str, Mapping[str, Any]]:
    """Every registry by the plural of what it holds."""
    found = {plural(name): choice.registry for name, choice in CHOICES.items()}
    return {**found, "partitions": data.PARTITIONS, "data": data.SOURCES}


ABOUT_DATA = {
    "digits": "1,797 images of 8 x 8, ten classes; comes with scikit-learn",
    "mnist": "70,000 images of 28 x 28, ten classes",
    "fashion_mnist": "70,000 images of 28 x 28, ten classes",
    "cifar10": "60,000 colour images of 32 x 32, ten classes",
    "breast_cancer": "569 rows of 30 numbers, two classes; comes with scikit-learn",
    "wine": "178 rows of 13 numbers, three classes; comes with scikit-learn",
    "diabetes": "442 rows of 10 numbers, a number to predict; comes with scikit-learn",
    "heart_disease": "patients of four hospitals, two classes; the hospitals are clients",
    "shakespeare": "the next character of plays; the roles are clients",
    "trec": "5,952 questions, six classes",
}


def plural(name: str) -> str:
    """`attack` -> `attacks`, `sortition` -> `sortitions`."""
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def kind_of(word: str) -> str:
    """The kind that a word names, in singular or plural.

    Raises:
        ValueError: there is none.
    """
    known = {**{name: name for name in kinds()}, **{name: plural(name) for name in CHOICES}}
    return lookup({**known, "partition": "partitions"}, word, "kind")


def about(part: Any) -> str:
    """The docstring of a part, or of the first of its functions that has one."""
    return next(filter(None, map(_text, functions_of(part))), "")


def _text(fn: Any) -> str:
    if not isinstance(fn, functools.partial):
        return inspect.getdoc(fn) or ""
    bound = ", ".join(f"{name} = {value}" for name, value in fn.keywords.items())
    return f"With {bound}: {_text(fn.func)}" if bound else _text(fn.func)


def run(call: door.Call) -> None:
    """Prints a table."""
    word = call.names[0] if call.names else None
    if word is None:
        table = Table("kind", "names", box=None)
        for kind, registry in kinds().items():
            table.add_row(kind, ", ".join(registry))
        table.add_row("config", "every field: `d2m list config`")
    elif word == "config":
        table = config_table([f for f in fields() if _has(f, call.names[1:])])
    else:
        table = Table("name", "what it is", box=None)
        for name, part in kinds()[kind_of(word)].items():
            table.add_row(name, (about(part) or ABOUT_DATA.get(name, "-")).split("\n")[0])
    call.console.print(table)


def config_table(rows: Sequence[Field]) -> Table:
    """One line for each field."""
    table = Table("field", "type", "default", "meaning", box=None)
    for field in rows:
        table.add_row(field.path, field.kind, field.default, field.meaning)
    return table


def _has(field: Field, words: Sequence[str]) -> bool:
    return all(word in f"{field.path} {field.meaning}" for word in words)
