"""Tables of every part and every field, read from the code, in place of their marks in a page."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from d2m_jax.cli.catalogue import ABOUT_DATA, about, kinds
from d2m_jax.config.fields import fields
from d2m_jax.core.choices import numbers


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Fills the marks `<!-- parts -->` and `<!-- fields -->`."""
    for mark, lines in TABLES.items():
        if mark in markdown:
            markdown = markdown.replace(mark, "\n".join(lines()))
    return markdown


PLAIN = {"default": "that of the model", "own": "that of the sampler", "none": "no attack"}


def parts() -> Iterator[str]:
    """A heading and a table for each kind of part."""
    for kind, registry in kinds().items():
        rows = [(name, said(name, part), numbers_of(part)) for name, part in registry.items()]
        some = any(numbers for _, _, numbers in rows)
        yield f"\n### {kind.replace('_', ' ').capitalize()}\n"
        yield "| name | what it is |" + (" numbers |" if some else "")
        yield "|---|---|" + ("---|" if some else "")
        for name, text, values in rows:
            yield f"| `{name}` | {cell(text)} |" + (f" {cell(values)} |" if some else "")


def said(name: str, part: Any) -> str:
    """The first line of what a part says of itself."""
    return (about(part) or ABOUT_DATA.get(name) or PLAIN.get(name, "")).split("\n")[0]


def numbers_of(part: Any) -> str:
    """The numbers of a part with their defaults; none of what has none."""
    if isinstance(part, tuple) or callable(part):
        return ", ".join(f"`{name}` = {value}" for name, value in numbers(part).items())
    return ""


def all_fields() -> Iterator[str]:
    """A table of the fields of each part of a configuration."""
    start = ""
    for field in fields():
        group, _, name = field.path.partition(".")
        if group != start:
            start = group
            yield f"\n### `{group}`\n\n| field | type | default | meaning |\n|---|---|---|---|"
        shown = f"`{name or group}` | {field.kind} | {cell(field.default)} | {cell(field.meaning)}"
        yield f"| {shown} |"


def cell(text: str) -> str:
    """A text that may stand in a table."""
    return inspect.cleandoc(text).replace("|", "\\|").replace("\n", " ")


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "<!-- parts -->": parts,
    "<!-- fields -->": all_fields,
}
