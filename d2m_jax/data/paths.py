"""Paths that a user gives. Host only."""

import os
import pathlib

from d2m_jax.core.dataset import DataError

Folder = str | os.PathLike[str]


def at_home(path: Folder) -> pathlib.Path:
    """Returns a path given by the user, `~` expanded.

    Raises:
        DataError: it begins with `~` and the user has no home.
    """
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError:
        raise DataError(f"{path} begins with ~, but this user has no home folder") from None
