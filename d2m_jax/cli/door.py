"""The door: every command comes in here, and whatever is wrong with its input leaves here.

A command is a function of a `Call`. Its module says which flags it has:

    def define(values):
        flags.DEFINE_string("out", None, "results folder", flag_values=values)

    def main(argv=None):
        return door.enter(command, argv, define=define, about=__doc__, config="configs/digits.py")

Wrong input is `error: ...` on standard error, with exit status 2 for a flag and 1 for all else;
ctrl-C is 130. `--traceback` shows where an error comes from. Read next: `paths.py`,
`sentences.py`, `arguments.py`.
"""

import gc
import os
import pathlib
import shlex
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict
from rich.console import Console

from d2m_jax.cli import arguments, console, devices, paths, user_file
from d2m_jax.cli.sentences import one_sentence

OBJECTS = 50_000  # new ones between two searches for garbage: a trace makes many that stay


class Call(NamedTuple):
    """What a command works on; nothing of it is global."""

    flags: Any  # parsed: `call.flags.out`
    names: list[str]  # arguments that are no flags
    config: ConfigDict  # with its overrides, locked; empty for a command without one
    file: pathlib.Path  # of the configuration; the working folder for a command without one
    module: ModuleType | None  # the file as a module
    console: Console
    command: str  # as it was typed, for the results
    overrides: dict[str, str]  # fields of the configuration that were set, as typed


def enter(
    command: Callable[[Call], int | None],
    argv: Sequence[str] | None = None,
    *,
    define: arguments.Define,
    about: str | None,
    config: str | None = None,
    names: tuple[str, ...] = (),
    more: int = 0,
) -> int:
    """Reads the command line and runs a command.

    Args:
        command: of a `Call`; returns an exit status, None for 0.
        argv: with the name of the program; by default that of the process.
        define: adds the flags of the command to an `absl.flags.FlagValues`.
        about: what `--help` prints.
        config: the default configuration, relative to the root; None for a command without one.
        names: what each argument that is no flag is, all of them needed.
        more: how many arguments may follow them.

    Returns:
        The exit status.

    Raises:
        SystemExit: the input is wrong, or ctrl-C; the sentence is on standard error.
    """
    argv = list(sys.argv if argv is None else argv)
    console.plain_streams()
    devices.quiet_logs()
    gc.set_threshold(OBJECTS)
    whole = "--traceback" in argv
    try:
        with one_sentence(whole=whole):
            text, rest = arguments.take_config(arguments.expand(argv)) if config else (None, argv)
            file, colon, argument = _file(text, config)
        with one_sentence(file, whole=whole):
            module = user_file.load(file) if file else None
            tree = user_file.get_config(module, argument if colon else None) if module else None
            if arguments.wants_help(argv):
                print(arguments.explain(about or "", define, tree, full="--helpfull" in argv))
                return 0
            values, found = arguments.parse(rest, define, tree)
            check_names(found, names, more)
            program = [] if argv[0].startswith("d2m ") else ["python"]
            typed = " ".join([*program, argv[0], shlex.join(argv[1:])]).rstrip()
            where = file or pathlib.Path()
            made = console.make()
            changed = arguments.overrides(rest)
            call = Call(values, found, tree or ConfigDict(), where, module, made, typed, changed)
            return command(call) or 0
    except BrokenPipeError:  # whoever read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _file(text: str | None, default: str | None) -> tuple[pathlib.Path | None, str, str]:
    """The file of the configuration, and what stands behind its colon."""
    if default is None:
        return None, "", ""
    name, colon, argument = (text or "").partition(":")
    return paths.configuration(name if text else None, default), colon, argument


def check_names(found: Sequence[str], names: Sequence[str], more: int = 0) -> None:
    """Raises flags.Error for arguments that are too many or too few."""
    most = len(names) + more
    if len(found) > most:
        raise flags.Error(f"unexpected argument {found[most]!r}; flags start with --")
    if len(found) < len(names):
        raise flags.Error(f"name {names[len(found)]}")
