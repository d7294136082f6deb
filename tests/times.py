"""Processor seconds of every test, which other work on the machine hardly changes.

    python -m pytest -p tests.times -n auto -m "not slow and not long"   # writes .cache/seconds.txt
    python -m tests.times                                  # sums by folder beside their budgets

Children of a test count with it, and so does what its module computes for it. Compilation falls to
the test that comes first. Budgets: the table in tests/README.md.
"""

import collections
import os
import pathlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping

import pytest

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = HERE.parent / ".cache" / "seconds.txt"
BUDGET = re.compile(r"^\| `([\w/]+)` \| (\d+) \|", re.M)
Test = tuple[str, float]  # name, processor seconds


def used() -> float:
    """Processor seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # of xdist: its main process comes first
        SECONDS.parent.mkdir(exist_ok=True)
        SECONDS.write_text("")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    before = used()
    result = yield
    with SECONDS.open("a") as file:  # one short line at a time, so that workers may share it
        file.write(f"{used() - before:.3f} {item.nodeid}\n")
    return result


def read(text: str) -> list[Test]:
    """The tests of a file of seconds."""
    lines = (line.split(" ", 1) for line in text.splitlines())
    return [(name, float(seconds)) for seconds, name in lines]


def by_folder(tests: Iterable[Test]) -> dict[str, float]:
    """Seconds of every folder of tests; those beside the folders count as `tests`."""
    sums: dict[str, float] = collections.defaultdict(float)
    for name, seconds in tests:
        parts = name.split("::")[0].split("/")
        sums[parts[1] if len(parts) > 2 else parts[0]] += seconds
    return dict(sums)


def budgets(page: str) -> dict[str, int]:
    """Seconds that each folder may take, from the table of tests/README.md."""
    return {folder: int(seconds) for folder, seconds in BUDGET.findall(page)}


def report(tests: list[Test], allowed: Mapping[str, int], slowest: int = 25) -> Iterator[str]:
    """Lines: folders beside their budgets, then the slowest tests."""
    for folder, seconds in sorted(by_folder(tests).items()):
        budget = allowed.get(folder, 0)
        yield f"{folder:14}{seconds:8.1f} of {budget:4d}{'  OVER' if seconds > budget else ''}"
    yield f"{'together':14}{sum(s for _, s in tests):8.1f} of {sum(allowed.values()):4d}"
    for name, seconds in sorted(tests, key=lambda test: -test[1])[:slowest]:
        yield f"{seconds:8.2f}  {name}"


if __name__ == "__main__":
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    print("\n".join(report(read(path.read_text()), budgets((HERE / "README.md").read_text()))))
