"""What a person reads, on any terminal: plain characters where others cannot be, numbers whole.

Not here: what is said (`report/`, `sweep/account.py`).
"""

import codecs
import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn
from rich.table import Table

WIDTH = 100  # of lines that go to a file
PLAIN = dict(zip("▁▂▃▄▅▆▇█·━╸╺─│…–—×±≥≤√", "12345678.---!|.--x+><v"))  # one for one: columns stay


def plain_streams() -> None:
    """Lets standard output and error replace what their encoding lacks, instead of raising."""
    codecs.register_error("d2m_plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="d2m_plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, "?") for character in lost), error.end


class Whole(Console):
    """A console that breaks a table too wide for it between columns, never inside a number."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As `rich` prints, tables in pieces that fit."""
        pieces: list[Any] = []
        for item in objects:
            pieces += fold(self, item) if isinstance(item, Table) else [item]
        super().print(*pieces, **options)


def make(*, stderr: bool = False, width: int | None = None, **options: Any) -> Console:
    """The console of a command.

    Args:
        stderr: writes to standard error.
        width: in characters; by default that of the terminal, 100 where there is none.
        options: of `rich.console.Console`.
    """
    stream = options.get("file") or (sys.stderr if stderr else sys.stdout)
    if width is None and not stream.isatty():
        width = WIDTH
    return Whole(stderr=stderr, width=width, highlight=False, emoji=False, **options)


def bar(console: Console) -> BarColumn:
    """The bar of a progress line, shorter where there is little room."""
    return BarColumn(bar_width=max(5, min(40, console.width - 55)))


def fold(console: Console, table: Table) -> list[Table]:
    """The table alone if it fits, else its columns in pieces, each beginning with the first one."""
    if _fits(console, table):
        return [table]
    groups: list[list[int]] = []
    for place in range(1, len(table.columns)):
        if groups and _fits(console, _piece(table, [*groups[-1], place])):
            groups[-1].append(place)
        else:
            groups.append([0, place])
    return [_piece(table, group, title=i == 0) for i, group in enumerate(groups)] or [table]


def _fits(console: Console, table: Table) -> bool:
    unbound = console.options.update(width=10_000)
    return console.measure(table, options=unbound).minimum <= console.width


def _piece(table: Table, places: list[int], *, title: bool = False) -> Table:
    """Some columns of a table as a table."""
    piece = Table(
        title=table.title if title else None,
        title_justify=table.title_justify,
        title_style=table.title_style,
        box=table.box,
        padding=table.padding,
        show_lines=table.show_lines,
    )
    chosen = [table.columns[place] for place in places]
    for column in chosen:
        piece.add_column(
            column.header,
            justify=column.justify,
            header_style=column.header_style,
            overflow="fold",  # where even two columns do not fit
        )
    for row, cells in zip(table.rows, zip(*(column.cells for column in chosen))):
        piece.add_row(*cells, style=row.style, end_section=row.end_section)
    return piece
