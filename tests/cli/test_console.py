"""Output on poor terminals: no UnicodeEncodeError, no number cut."""

import io
import sys

import pytest
from rich.table import Table

from d2m_jax.cli import console


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_an_encoding_lacks_is_replaced_one_for_one(monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    console.plain_streams()
    print("▁▂█ ━━ 数 ±3")
    stream.flush()
    said = stream.buffer.getvalue().decode(encoding)
    assert said.rstrip("\n") == ("128 -- ? +3" if encoding == "ascii" else "128 -- ? ±3")


def test_names_that_are_no_text_can_be_printed(monkeypatch):
    """A file name with a byte that is no UTF-8."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    console.plain_streams()
    print("a\udcffb")
    stream.flush()
    assert stream.buffer.getvalue() == b"a?b\n"


def accounts(columns=10):
    table = Table(title="Who trained", title_justify="left", box=None, padding=(0, 2))
    table.add_column("seller")
    for place in range(1, columns):
        table.add_column(f"column {place}", justify="right")
    for row in range(3):
        numbers = (f"{1_000_000 * row + place:+,}.125" for place in range(1, columns))
        table.add_row(f"s{row}", *numbers, style="red" if row else "")
    return table


def printed(width, *objects):
    screen = console.make(file=io.StringIO(), width=width)
    screen.print(*objects)
    return screen.file.getvalue()


@pytest.mark.parametrize("width", [30, 40, 60, 100, 300])
def test_numbers_are_whole_at_any_width(width):
    said = printed(width, accounts())
    lines = said.splitlines()
    assert "…" not in said and max(map(len, lines)) <= width
    for row in range(3):
        mine = " ".join(line for line in lines if line.strip().startswith(f"s{row}"))
        for place in range(1, 10):
            assert f"{1_000_000 * row + place:+,}.125" in mine.split()
    assert said.count("Who trained") == 1


def test_where_nothing_fits_nothing_is_lost():
    said = printed(12, accounts(2)).partition("s2")[2]
    assert "".join(said.split()) == "+2,000,001.125"


def test_a_table_that_fits_is_left_alone():
    table = accounts(3)
    screen = console.make(file=io.StringIO(), width=100)
    assert console.fold(screen, table) == [table]
    assert console.fold(screen, Table()) != []


def test_the_bar_leaves_room():
    def width(columns):
        return console.bar(console.make(file=io.StringIO(), width=columns)).bar_width

    assert [width(60), width(80), width(200)] == [5, 25, 40]
    assert console.make(file=io.StringIO()).width == console.WIDTH


def test_folders_are_no_markup_and_no_emoji():
    assert printed(80, "a :smile: b").strip() == "a :smile: b"
