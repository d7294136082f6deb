"""The command line: a configuration, overrides of its fields, flags, names. Host only.

absl and ml_collections read the values; what they do not know is refused here in one sentence. No
global flags: a command has its own, so that several can be called in one process.
"""

import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from d2m_jax.cli.sentences import like
from d2m_jax.core.choices import is_own, label

Define = Callable[[flags.FlagValues], None]  # adds the flags of a command
FIELD = re.compile(r"--?(?:no)?config\.([^=]+)")


def expand(argv: Sequence[str]) -> list[str]:
    """The arguments with those of every `--flagfile` in its place.

    Raises:
        flags.Error: such a file cannot be read.
    """
    return flags.FlagValues().read_flags_from_files(list(argv), force_gnu=False)


def take_config(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of `--config`, the last one counts, and all other arguments.

    Raises:
        flags.Error: the flag has no value.
    """
    value, rest, waiting = None, [], iter(argv)
    for argument in waiting:
        name, equals, text = argument.partition("=")
        if name not in ("--config", "-config"):
            rest.append(argument)
            continue
        found = text if equals else next(waiting, None)
        if not found:
            raise flags.Error("--config needs the name of a file: --config=FILE")
        value = found
    return value, rest


def parse(
    argv: Sequence[str], define: Define, config: ConfigDict | None
) -> tuple[flags.FlagValues, list[str]]:
    """Reads flags and overrides; the configuration is changed in place and locked.

    Args:
        argv: without `--config`; the first is the name of the program.
        define: adds the flags of the command.
        config: whose fields `--config.FIELD=VALUE` changes, or None.

    Returns:
        The flags, and what is none.

    Raises:
        flags.Error: an unknown flag, or a value that cannot be read.
        ValueError: no such field, or a value that is no number.
    """
    values = flags.FlagValues()
    values.set_gnu_getopt(True)  # flags may stand behind names
    flags.DEFINE_bool("traceback", False, "show where an error comes from", flag_values=values)
    define(values)
    own: dict[str, Any] = {}
    if config is not None:
        check_fields(argv, config)
        own = take_own(config)
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=list(argv))
    try:
        names = values(list(argv))[1:]
    except flags.UnrecognizedFlagError as error:
        name = error.flagname
        raise flags.Error(f"unknown flag --{name}{like(name, list(values), '--')}") from error
    except flags.IllegalFlagValueError as error:
        raise flags.Error(plain_value(str(error))) from error
    if config is not None:
        give_back(config, own)
    for name in values:
        value = values[name].value
        ours = not name.startswith("config.")  # fields are checked with the configuration
        if ours and isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"--{name}={value} must be finite")
    return values, names


def take_own(config: ConfigDict) -> dict[str, Any]:
    """The own parts of a configuration by field, where now stands what they are called.

    A flag can then set the field to a name, as it can where no own part stands.
    """
    own = {path: value for path, value in fields(config) if is_own(value)}
    _place(config, {path: _called(part) for path, part in own.items()})
    return own


def give_back(config: ConfigDict, own: dict[str, Any]) -> None:
    """Puts the own parts back that no flag has replaced."""
    _place(config, {path: part for path, part in own.items()
                    if _at(config, path) == _called(part)})  # fmt: skip


def _called(part: Any) -> str:
    return f"<{label(part)}>"


def _at(config: ConfigDict, path: str) -> Any:
    *groups, name = path.split(".")
    for group in groups:
        config = config[group]
    return config[name]


def _place(config: ConfigDict, values: dict[str, Any]) -> None:
    for path, value in values.items():
        group, _, name = path.rpartition(".")
        target = _at(config, group) if group else config
        with target.unlocked(), target.ignore_type():
            target[name] = value


def plain_value(text: str) -> str:
    """What absl says of a value that it cannot read, without Python's words for it."""
    for pattern, said in (
        (r": invalid literal for int\(\).*", " must be a whole number"),
        (r": could not convert string to float.*", " must be a number"),
        (r": .*Non-boolean argument.*", " must be true or false"),
        (r": Failed to parse .*", " must be a Python value of the right kind"),
    ):
        text = re.sub(pattern, said, text, flags=re.DOTALL)
    return text


def overrides(argv: Sequence[str]) -> dict[str, str]:
    """The fields of the configuration that are set, with their values as they were typed."""
    found = {}
    for argument in argv:
        field = FIELD.match(argument)
        if field:
            found[field[1]] = argument.partition("=")[2] or argument.partition("config.")[0]
    return found


def check_fields(argv: Sequence[str], config: ConfigDict) -> None:
    """Raises ValueError for an override of a field that there is not."""
    for argument in argv:
        found = FIELD.match(argument)
        if not found or "[" in found[1]:  # an index: left to ml_collections
            continue
        node: Any = config
        for name in found[1].split("."):
            if not isinstance(node, ConfigDict) or name not in node:
                known = [field for field, _ in fields(config)]
                raise ValueError(
                    f"the configuration has no field {found[1]}{like(found[1], known)}"
                )
            node = node[name]


def fields(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All fields that can be set, with their values: ("spec.attack", "alie"), ..."""
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def numbers(
    values: Any, name: str, kind: Callable[[str], Any] = float, what: str = "numbers"
) -> list[Any]:
    """The values of a list flag, each a number.

    Args:
        values: parsed flags.
        name: of the flag.
        kind: int, float, or a function that raises ValueError.
        what: they must be.

    Raises:
        ValueError: there is none, or one is no such number.
    """
    texts = values[name].value
    if not texts:
        raise ValueError(f"--{name} names nothing")
    try:
        return [kind(text) for text in texts]
    except ValueError:
        raise ValueError(f"--{name} must be {what}, got {','.join(texts)}") from None


def share(text: str) -> float:
    """A number from 0 to 1; raises ValueError for any other text."""
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError(text)
    return number


def wants_help(argv: Sequence[str]) -> bool:
    """Whether the command is only to explain itself."""
    return any(a in ("-h", "-?", "--help", "--helpshort", "--helpfull") for a in argv[1:])


def explain(about: str, define: Define, config: ConfigDict | None, *, full: bool) -> str:
    """The text of `--help`: what the command does, its flags, on demand every field."""
    values = flags.FlagValues()
    define(values)
    lines = [about.strip(), "", "Flags:"]
    for name in values:
        default = values[name].default
        shown = "" if default in (None, "") else f" [{_plain(default)}]"
        lines.append(f"  --{name}: {values[name].help}{shown}")
    if config is not None:
        lines.append("  --config: Python file with a function get_config()")
        lines.append("  --config.FIELD=VALUE: any field of it; --helpfull lists them")
    if config is not None and full:
        lines += ["", "Fields:"]
        lines += [f"  --config.{field}={value!r}" for field, value in fields(config)]
    return os.linesep.join(lines)


def _plain(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, list | tuple) else str(default)
