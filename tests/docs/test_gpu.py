"""The benchmark of GPUs: its table is that of the page, parts end in time, all of it runs."""

import re
import subprocess

import pytest

from benchmarks import gpu

MEASURED = {
    "rules": {
        "device": "a GPU",
        "rows": {"mean, 20 x 431,080": {"here": 0.012345, "torch": 1234.5, "unit": "ms"}},
    },
    "sweep": {"rows": {}, "why": "not done after 175 s"},
}
LINES = [f"| {name} |" for names in gpu.ROWS.values() for name in names]


def rows(text):
    return [line for line in text.splitlines() if line.startswith("|")][2:]


def test_the_page_has_every_row_measured_or_not():
    text = gpu.PAGE.read_text()
    found = rows(text.split(gpu.START)[1].split(gpu.END)[0])
    assert [line[: len(want)] for line, want in zip(found, LINES, strict=True)] == LINES
    is_measured = "Measured on:" in text
    assert is_measured != all(gpu.NOT_MEASURED in line for line in found)


def test_figures_and_reasons_stand_in_their_rows(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{gpu.START}\nold\n{gpu.END}\nafter\n")
    for _ in range(2):  # again and again in the same place
        gpu.write(page, MEASURED)
        text = page.read_text()
        assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
        assert "Measured on: a GPU." in text
        assert "| mean, 20 x 431,080 | 0.0123 | 1,234 | ms |  |" in text
        assert text.count("| not measured |  |  | not done after 175 s |") == 3
        assert len(rows(text)) == len(LINES)


def test_all_parts_together_take_eight_minutes_at_most():
    assert sum(gpu.LIMITS.values()) <= 8 * 60 and set(gpu.LIMITS) == set(gpu.ROWS)


def test_a_part_that_hangs_or_fails_is_a_row_that_says_so(monkeypatch):
    args = gpu.argparse.Namespace(dry_run=False, data_dir="")

    def hangs(*_, timeout, **__):
        raise subprocess.TimeoutExpired("x", timeout)

    monkeypatch.setattr(gpu.subprocess, "run", hangs)
    assert gpu.measure("rules", args) == {"rows": {}, "why": "not done after 70 s"}
    broken = subprocess.CompletedProcess("x", 1, "", "Traceback\nRuntimeError: no memory\n")
    monkeypatch.setattr(gpu.subprocess, "run", lambda *_, **__: broken)
    assert gpu.measure("rules", args)["why"] == "failed: RuntimeError: no memory"


def test_without_a_gpu_it_is_one_sentence(monkeypatch):
    monkeypatch.setattr(gpu, "has_gpu", lambda: False)
    with pytest.raises(SystemExit, match="JAX sees no GPU here; --dry_run"):
        gpu.main([])
    with pytest.raises(SystemExit, match="no part 'rule'; parts: first, rules"):
        gpu.main(["--only=rule", "--dry_run"])


def test_a_part_alone_leaves_the_page_and_all_parts_write_it(monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"{gpu.START}\n\nMeasured on: a GPU.\n{gpu.END}\n")
    monkeypatch.setattr(gpu, "has_gpu", lambda: True)
    monkeypatch.setattr(gpu, "measure", lambda name, args: MEASURED["rules"])
    before = page.read_text()
    gpu.main([f"--page={page}", "--only=rules,rounds"])
    assert page.read_text() == before
    said = capsys.readouterr()
    assert "0.0123" in said.out and "the page stays as it is" in said.err
    gpu.main([f"--page={page}"])
    assert page.read_text() != before and len(rows(page.read_text())) == len(LINES)


@pytest.mark.slow  # five processes that compile
def test_a_dry_run_measures_every_row(capsys):
    before = gpu.PAGE.read_text()
    gpu.main(["--dry_run"])
    found = rows(capsys.readouterr().out)
    assert len(found) == len(LINES) and gpu.PAGE.read_text() == before
    for line in found:
        assert float(re.split(r" ?\| ?", line)[2].replace(",", "")) > 0, line
