"""Draws the plots of a sweep and one HTML page with everything in it.

    python scripts/report.py results/digits_1024

writes results/digits_1024/report/index.html and PNG files beside it; `--out` moves them.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from absl import app, flags

from d2m_jax.report.sweep_page import write_report
from scripts.sentences import one_sentence, parse_flags

OUT = flags.DEFINE_string("out", "", "folder of the page (default: RESULTS/report)")


def main(argv: list[str]) -> None:
    if len(argv) != 2:
        raise app.UsageError("name one results folder")
    with one_sentence():
        page = write_report(argv[1], OUT.value)
    print(f"Wrote {page} ({page.stat().st_size / 1e6:.1f} MB); open it in a browser.")


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
