"""Paths that come from outside: flags, arguments, defaults. Not here: what is read or written.

Every path goes through `given`; a configuration is looked for by `configuration`.
"""

import os
import pathlib

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
# Holds configs/: a checkout, or the package where it is installed.
ROOT = PACKAGE if (PACKAGE / "configs").is_dir() else PACKAGE.parent


def cache() -> pathlib.Path:
    """The folder of what can be made again: in the checkout, or the user's cache."""
    if ROOT != PACKAGE:
        return ROOT / ".cache"
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base) / "d2m_jax"


def given(text: str | os.PathLike[str]) -> pathlib.Path:
    """A path as a person writes it: `~` is the home, the rest is relative to where they stand.

    Raises:
        ValueError: nothing, or a home that is not known.
    """
    if not str(text):
        raise ValueError("a path must not be empty")
    try:
        return pathlib.Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"the home folder of {str(text)!r} is not known: set HOME") from error


def optional(text: str | None) -> str | None:
    """As `given`, for a flag that may be left out."""
    return str(given(text)) if text else None


def configuration(text: str | None, default: str) -> pathlib.Path:
    """The Python file of a configuration.

    Args:
        text: of the flag; a file that comes with the package may be named from any folder.
        default: relative to the root of the package, taken when there is no text.

    Raises:
        ValueError: there is no such file.
    """
    path = given(default if text is None else text)
    if not path.is_absolute():
        for folder in (pathlib.Path(), ROOT) if text is not None else (ROOT, pathlib.Path()):
            if (folder / path).is_file():
                return folder / path
    if path.is_dir():
        raise ValueError(f"--config names the folder {path}, not a Python file")
    if not path.is_file():
        raise ValueError(f"--config names {path}, and there is no such file")
    return path


def shown(path: str | os.PathLike[str]) -> str:
    """A path for a sentence: relative where that is shorter, else as it is."""
    try:
        short = os.path.relpath(path)
    except (OSError, ValueError):  # no working folder any more, or another drive
        return str(path)
    return str(path) if short.startswith("..") else short
