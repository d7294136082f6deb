"""What is wrong with flags or a configuration, as one sentence instead of a traceback."""

import contextlib
import sys
from collections.abc import Iterator

from absl import app


@contextlib.contextmanager
def one_sentence() -> Iterator[None]:
    """Turns what is wrong with a configuration into one sentence."""
    try:
        yield
    except (SyntaxError, ImportError) as error:  # a configuration is a Python file
        sys.exit(f"error: the configuration cannot be read as Python: {error}")
    except (AttributeError, KeyError) as error:
        if "get_config" in str(error):
            sys.exit("error: the configuration file has no function get_config()")
        field = str(error.args[0]).strip("'\"")
        sys.exit(f"error: the configuration has no field {field}")
    except (ValueError, TypeError, OverflowError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")


def parse_flags(argv: list[str]) -> list[str]:
    """Flags as absl parses them; what is left is returned."""
    with one_sentence():
        return app.parse_flags_with_usage(argv)
