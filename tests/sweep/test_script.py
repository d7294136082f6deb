"""scripts/sweep.py as a person uses it: plan, run, ctrl-C, kill, several devices and processes."""

import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import time

import pandas as pd
import pytest

from d2m_jax import sweep
from tests.conftest import FAST_COMPILATION, ROOT

FILE = "tests/sweep/tiny.py"


def start(*flags, devices=1, **kwargs):
    """The script in a process of its own, not in the group of the tests."""
    env = {
        **os.environ,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {FAST_COMPILATION}",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "scripts/sweep.py", f"--config={FILE}", *map(str, flags)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, cwd=ROOT, env=env, text=True, **pipes, **kwargs)


def finish(process):
    out, _ = process.communicate(timeout=300)
    return process.returncode, out


def parts(folder):
    return len(list((pathlib.Path(folder) / "runs").glob("part-*.parquet")))


def wait_for_parts(process, folder, count):
    deadline = time.monotonic() + 240
    while parts(folder) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    code, out = finish(start(f"--out={folder}", "--width=1"))
    assert code == 0, out
    return sweep.load(folder)


def assert_same(folder, want):
    results = sweep.load(folder)
    pd.testing.assert_frame_equal(results.runs, want.runs, check_exact=True)
    pd.testing.assert_frame_equal(results.rounds, want.rounds, check_exact=True)


@pytest.mark.slow
def test_stopped_killed_and_resumed_the_table_is_the_same(undisturbed, tmp_path):
    process = start(f"--out={tmp_path}", "--width=1")
    wait_for_parts(process, tmp_path, 1)
    process.send_signal(signal.SIGINT)
    code, out = finish(process)
    assert code == 130 and "Stopped. The same command goes on" in out, out
    assert "Traceback" not in out
    some = parts(tmp_path)
    assert 1 <= some < 12

    process = start(f"--out={tmp_path}", "--width=1")
    wait_for_parts(process, tmp_path, some + 1)
    process.kill()
    finish(process)
    assert some < parts(tmp_path) < 12

    code, out = finish(start(f"--out={tmp_path}", "--width=1"))
    assert code == 0 and "12 runs are done, 0 failed" in out, out
    assert_same(tmp_path, undisturbed)


@pytest.mark.long
def test_killed_at_ten_random_moments(undisturbed, tmp_path):
    rng, kills = random.Random(0), 0
    while kills < 10:
        process = start(f"--out={tmp_path}", "--width=1")
        if rng.random() < 0.5:  # anywhere, while importing or compiling too
            time.sleep(rng.uniform(0, 8))
        else:
            wait_for_parts(process, tmp_path, parts(tmp_path) + 1)
            time.sleep(rng.uniform(0, 0.2))
        if process.poll() is None:
            process.kill()
            kills += 1
        finish(process)
        if parts(tmp_path) == 12:  # take some away, as if they had never been written
            for path in sorted((tmp_path / "runs").glob("part-*"))[::2]:
                path.unlink()
    code, out = finish(start(f"--out={tmp_path}", "--width=1"))
    assert code == 0, out
    assert_same(tmp_path, undisturbed)


@pytest.mark.long
def test_four_devices_give_the_same_bits(undisturbed, tmp_path):
    code, out = finish(start(f"--out={tmp_path}", "--width=1", devices=4))
    assert code == 0, out
    assert_same(tmp_path, undisturbed)


@pytest.mark.long
def test_two_processes_share_the_work(undisturbed, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"--coordinator=localhost:{free.getsockname()[1]}"
    flags = (f"--out={tmp_path}", "--width=1", address, "--num_processes=2")
    both = [start(*flags, f"--process_id={number}") for number in range(2)]
    shares = []
    for process in both:
        code, out = finish(process)
        assert code == 0, out
        (share,) = re.findall(r"Process \d of 2: (\d+) of the 12 runs that are left", out)
        assert f"{share}/{share}" in out  # its bar ends full
        shares.append(int(share))
    assert sum(shares) == 12
    assert_same(tmp_path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--dry_run", "--estimate"])
def test_the_plan_is_printed_and_nothing_runs(tmp_path, flag):
    """Only the estimate compiles."""
    code, out = finish(start(f"--out={tmp_path / 'no'}", flag, "--width=1"))
    assert code == 0, out
    assert "12 runs in 1 program ->" in out and "seed: 4 (0, 1, 2, 3)" in out
    estimated = re.search(r"About \d+ s on 1 cpu device", out)
    assert bool(estimated) == (flag == "--estimate") and not (tmp_path / "no").exists()
    if estimated:  # rules, attacks, cells, runs, width, chunks
        assert re.search(r" 1 +1 +1 +12 +1 +12 ", out), out


@pytest.mark.slow
def test_wrong_flags_are_one_sentence():
    code, out = finish(start("--out=README.md"))
    assert code == 1 and "Traceback" not in out, out
    assert "error: the results folder README.md cannot be written: " in out


@pytest.mark.slow
def test_two_sweeps_in_one_folder(tmp_path):
    """The second says who is there and ends; the first ends well."""
    first = start(f"--out={tmp_path}", "--width=1")
    wait_for_parts(first, tmp_path, 1)
    first.send_signal(signal.SIGSTOP)  # it would be done before the second has started
    code, out = finish(start(f"--out={tmp_path}", "--width=1"))
    first.send_signal(signal.SIGCONT)
    assert code == 1 and f"process {first.pid} on " in out and "Traceback" not in out, out
    assert f"writes to {tmp_path}" in re.sub(r"\s+", " ", out)
    first.send_signal(signal.SIGINT)
    assert finish(first)[0] == 130
    assert list(tmp_path.glob(".lock-*")) == [] and sweep.finished(tmp_path)
