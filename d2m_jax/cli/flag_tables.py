"""Flags of a command from tables: name -> (default, ..., what it is). Not here: reading them."""

from collections.abc import Mapping, Sequence

from absl import flags

LARGEST = 2**31 - 1  # of a whole number: an int32

Strings = Mapping[str, tuple[str | None, str]]
Switches = Mapping[str, str]
Lists = Mapping[str, tuple[Sequence[str], str]]
Integers = Mapping[str, tuple[int | None, int, str]]  # default, least, what it is
Floats = Mapping[str, tuple[float, float | None, float | None, str]]  # default, least, most, ...


def strings(values: flags.FlagValues, table: Strings) -> None:
    """Texts: paths and names."""
    for name, (default, about) in table.items():
        flags.DEFINE_string(name, default, about, flag_values=values)


def switches(values: flags.FlagValues, table: Switches) -> None:
    """What is off unless it is asked for."""
    for name, about in table.items():
        flags.DEFINE_bool(name, False, about, flag_values=values)


def lists(values: flags.FlagValues, table: Lists) -> None:
    """Texts between commas."""
    for name, (default, about) in table.items():
        flags.DEFINE_list(name, list(default), about, flag_values=values)


def integers(values: flags.FlagValues, table: Integers) -> None:
    """Whole numbers."""
    for name, (default, least, about) in table.items():
        flags.DEFINE_integer(name, default, about, least, LARGEST, flag_values=values)


def floats(values: flags.FlagValues, table: Floats) -> None:
    """Numbers."""
    for name, (default, least, most, about) in table.items():
        flags.DEFINE_float(name, default, about, least, most, flag_values=values)
