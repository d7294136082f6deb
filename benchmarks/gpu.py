"""What a GPU does with this package, in one command of at most 8 minutes; writes docs/gpu.md.

    python -m benchmarks.gpu                     # on a machine with a GPU: at most 8 minutes
    python -m benchmarks.gpu --data_dir=DIR      # the sweep on the official MNIST archives
    python -m benchmarks.gpu --dry_run           # tiny sizes on any device, changes no page: 2 min

Rules, rounds, a sweep of 10,000 configurations of the MNIST MLP, a market of 10,000 sellers, and
the first result of a newcomer, beside torch where it is installed. Every part is a process of its
own with a limit in seconds (`gpu_parts.py`): what does not end in time is a row that says so, and
the others stand. Without archives the images are random, of the sizes of MNIST; speed does not
depend on them.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "gpu.md"
START, END = "<!-- benchmarks.gpu writes this -->", "<!-- up to here -->"
LIMITS = {"first": 80, "rules": 70, "rounds": 80, "market": 70, "sweep": 175}  # seconds; 475 in all
COLUMNS = ("what", "here", "torch", "unit", "note")
NOT_MEASURED = "not measured"
SMOKE_LIMIT = 600  # seconds of a part with --dry_run, on a machine that may be busy
# Every row of the table by part, whether it was measured or not.
RULES = ("mean", "median", "trimmed mean", "Krum", "NNM", "geometric median", "centered clipping")
SHAPES = ("20 x 431,080", "64 x 101,770", "1,000 x 101,770")
ROWS = {
    "first": ("first market, nothing compiled before", "first market, compiled before"),
    "rules": tuple(f"{rule}, {shape}" for shape in SHAPES for rule in RULES),
    "rounds": ("round of a market, MLP (79,510)", "round of a market, CNN (431,080)"),
    "market": ("market of 10,000 sellers, 10 rounds", "its compilation"),
    "sweep": ("10,000 configurations of the MNIST MLP", "configurations a second", "compilation"),
}


def measure(part: str, args: argparse.Namespace) -> dict[str, Any]:
    """What a part prints last: the device and its rows; or why there is nothing."""
    limit = SMOKE_LIMIT if args.dry_run else LIMITS[part]
    command = [sys.executable, "-m", "benchmarks.gpu_parts", part, f"--limit={limit}"]
    command += ["--dry_run"] if args.dry_run else []
    command += [f"--data_dir={args.data_dir}"] if args.data_dir else []
    env = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # torch wants some as well
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return {"rows": {}, "why": f"not done after {limit} s"}
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return {"rows": {}, "why": f"failed: {said[:200]}"}
    return json.loads(done.stdout.splitlines()[-1])


def table(parts: dict[str, dict[str, Any]]) -> str:
    """The table in Markdown: every row of `ROWS`, "not measured" where a part says nothing.

    Args:
        parts: from a part's name to what `measure` returns; without a part nothing was measured.
    """
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---|---|---|---|"]
    for part, names in ROWS.items():
        found = parts.get(part, {})
        for name in names:
            row = found.get("rows", {}).get(name)
            if row is None:
                row = {"here": NOT_MEASURED, "note": found.get("why", "")}
            lines.append(f"| {name} | {' | '.join(shown(row.get(c)) for c in COLUMNS[1:])} |")
    return "\n".join(lines)


def shown(value: Any) -> str:
    """A cell: three digits of a number, nothing for None."""
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value).replace("|", "/")


def section(parts: dict[str, dict[str, Any]]) -> str:
    """What stands between the marks of the page: the device, then the table."""
    devices = [found["device"] for found in parts.values() if "device" in found]
    about = f"Measured on: {devices[0]}." if devices else "No GPU was at hand: not measured."
    return f"{START}\n\n{about}\n\n{table(parts)}\n\n{END}"


def write(page: pathlib.Path, parts: dict[str, dict[str, Any]]) -> None:
    """Puts the section into a page, in place of the one that is there."""
    text = page.read_text()
    before, rest = text.split(START)
    page.write_text(before + section(parts) + rest.split(END)[1])


def has_gpu() -> bool:
    """Whether JAX sees one; asked in another process, which then leaves it alone."""
    code = "import jax; print(jax.default_backend())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() == "gpu"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="", help="folder of the official data archives")
    parser.add_argument("--only", default=",".join(LIMITS), help="parts alone: writes no page")
    parser.add_argument("--page", type=pathlib.Path, default=PAGE, help="where the table goes")
    parser.add_argument("--dry_run", action="store_true", help="tiny sizes, and no page is written")
    args = parser.parse_args(argv)
    names = args.only.split(",")
    if unknown := sorted(set(names) - set(LIMITS)):
        sys.exit(f"error: no part {unknown[0]!r}; parts: {', '.join(LIMITS)}")
    if not args.dry_run and not has_gpu():
        sys.exit("error: JAX sees no GPU here; --dry_run tries the command without one")
    parts = {}
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        parts[name] = measure(name, args)
    print(section(parts))
    if len(parts) < len(LIMITS):
        print("some parts alone: the page stays as it is", file=sys.stderr)
    elif not args.dry_run:
        write(args.page, parts)
    if args.dry_run and any("why" in found for found in parts.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
