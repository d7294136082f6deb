"""The comment behind a field is its documentation; a griffe extension for mkdocstrings."""

import ast
import io
import tokenize
from functools import cache
from pathlib import Path
from typing import Any

import griffe


class FieldComments(griffe.Extension):
    """Gives the fields of classes, and constants, the comments that stand behind them."""

    def on_attribute_instance(self, *, node: Any, attr: griffe.Attribute, **kwargs: Any) -> None:
        """Reads the comment of the line on which the field begins, or ends."""
        if attr.docstring or not isinstance(node, ast.AnnAssign | ast.Assign):
            return
        if not isinstance(attr.filepath, Path):
            return
        comments = comments_of(attr.filepath)
        text = comments.get(node.end_lineno or 0) or comments.get(node.lineno)
        if text:
            attr.docstring = griffe.Docstring(text, parent=attr)


@cache
def comments_of(path: Path) -> dict[int, str]:
    """The comments behind code in a file, by line; those that go on below are joined."""
    found: dict[int, str] = {}
    lines = path.read_text().splitlines()
    start = 0
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type != tokenize.COMMENT:
            continue
        line, column = token.start
        text = token.string.lstrip("# ").strip()
        if lines[line - 1][:column].strip():
            found[line] = text
            start = line
        elif start and line == start + 1 + found[start].count("\n"):
            found[start] += f"\n{text}"
    return found
