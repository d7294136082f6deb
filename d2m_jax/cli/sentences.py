"""What is wrong with the input, as one sentence instead of a traceback.

Errors that nobody but a programmer can mend keep their traceback. What a user's own file raises is
told with its file and line.
"""

import difflib
import pathlib
import sys
import traceback
from types import TracebackType
from typing import Literal

from absl import flags

from d2m_jax.cli.paths import shown

INPUT = (ValueError, TypeError, OverflowError, OSError, MemoryError)  # may come from the input


class one_sentence:
    """Ends the process with `error: ...`: status 2 for a wrong flag, 1 for anything else.

    Args:
        near: the user's file, if there is one; errors that pass through it are told with their
            place, whatever they are.
        whole: lets every error through with its traceback.
    """

    def __init__(self, near: pathlib.Path | None = None, *, whole: bool = False):
        self.near, self.whole = near, whole

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: object, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        """Turns the error into a sentence, if it is one of those."""
        if isinstance(error, KeyboardInterrupt) and not self.whole:
            print("Stopped.", file=sys.stderr)
            raise SystemExit(130) from None
        if not isinstance(error, Exception) or isinstance(error, BrokenPipeError) or self.whole:
            return False
        text = sentence(error, self.near)
        if text:
            print(f"error: {text}", file=sys.stderr)
            raise SystemExit(2 if isinstance(error, flags.Error) else 1) from None
        return False


def sentence(error: Exception, near: pathlib.Path | None = None) -> str:
    """What an error says, in one line; empty for one that only its traceback explains."""
    text = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        return f"the configuration cannot be read as Python: {text}"
    if near is not None and (where := place(error, near)):
        said = text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"
        return f"{where}: {said}"
    if isinstance(error, flags.Error):
        return text.removeprefix("flag ")
    if isinstance(error, MemoryError):
        return f"there is not enough memory. {text}".strip()
    if isinstance(error, OSError) and error.strerror:
        named = error.filename is not None
        return f"{shown(error.filename)}: {error.strerror}" if named else error.strerror
    return (text or type(error).__name__) if isinstance(error, INPUT) else ""


def place(error: Exception, near: pathlib.Path) -> str:
    """The last line of the user's file, or of one beside it, that an error passed; or nothing."""
    folder = near.absolute().parent
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if pathlib.Path(frame.filename).parent == folder]
    return f"{shown(mine[-1].filename)}, line {mine[-1].lineno}" if mine else ""


def like(name: str, names: list[str], prefix: str = "") -> str:
    """' (did you mean ...?)' for a mistyped name, or nothing."""
    close = difflib.get_close_matches(name, names, 1)
    return f" (did you mean {prefix}{close[0]}?)" if close else ""
