"""Draws the plots of a sweep and one HTML page with everything in it.

    python scripts/report.py results/digits_1024

writes results/digits_1024/report/index.html and PNG files beside it; `--out` moves them.
"""

from collections.abc import Sequence

from absl import flags

from d2m_jax.cli import door, flag_tables, paths
from d2m_jax.report.sweep_page import write_report


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; see `door.enter`."""
    return door.enter(run, argv, define=define, about=__doc__, names=("one results folder",))


def define(values: flags.FlagValues) -> None:
    """The flags of the command."""
    flag_tables.strings(values, {"out": (None, "folder of the page (default: RESULTS/report)")})


def run(call: door.Call) -> None:
    """Writes the page and says where it is."""
    out = paths.optional(call.flags.out) or ""
    page = write_report(paths.given(call.names[0]), out)
    print(f"Wrote {page} ({page.stat().st_size / 1e6:.1f} MB); open it in a browser.")
