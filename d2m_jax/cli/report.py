"""Draws the page of a sweep or of a market: one HTML file with everything in it, offline.

    python scripts/report.py results/digits_1024
    python scripts/report.py results/digits_1024 --x=num_byzantine --y=welfare --by=aggregator

writes report/index.html into the results folder, and the first figure as SVG and PDF into
report/figures; `--out` moves them. Axes and measures can be changed on the page, too.
"""

from collections.abc import Sequence

from absl import flags

from d2m_jax.cli import door, flag_tables, paths
from d2m_jax.report.page import write_report
from d2m_jax.report.page.write import PLACES

STRINGS: flag_tables.Strings = {
    "out": (None, "folder of the page (default: RESULTS/report)"),
    "x": (None, "axis along x, or `round`, the rounds of training"),
    "y": (None, "measure along y (default: test_metric)"),
    "by": (None, "axis of which every value is a line, or `none`"),
    "panel": (None, "axis of which every value is a panel, or `none`"),
    "worst": (None, "axis over which the worst value counts in place of the mean"),
}
SWITCHES: flag_tables.Switches = {
    "heat": "the first figure is a heat map",
    "every": "figures of all measures as files, not of the first one only",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; see `door.enter`."""
    return door.enter(run, argv, define=define, about=__doc__, names=("one results folder",))


def define(values: flags.FlagValues) -> None:
    """The flags of the command."""
    flag_tables.strings(values, STRINGS)
    flag_tables.switches(values, SWITCHES)


def run(call: door.Call) -> None:
    """Writes page and figures, says what they say and where they are."""
    out = paths.optional(call.flags.out) or ""
    wanted = {place: call.flags[place].value for place in PLACES}
    chosen = {"heat": call.flags.heat, "every": call.flags.every}
    made = write_report(paths.given(call.names[0]), out, **chosen, **wanted)
    for name, said in made.said:
        call.console.print(f"{name}: {said}", markup=False)
    size = made.page.stat().st_size / 1e6
    print(f"Wrote {made.page} ({size:.1f} MB); open it in a browser.")
    print(f"Figures: {made.page.parent / 'figures'}/")
