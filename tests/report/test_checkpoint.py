"""Checkpoints: every kind of leaf bit for bit, whole ones only, nobody else's."""

import signal
import subprocess
import sys
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from d2m_jax.report import Checkpoint, StorageError, checkpoint, restore
from d2m_jax.report.checkpoint import save
from tests.conftest import ROOT
from tests.report.runs import Chunk, bits, config, drive, likes, outcome


class Pair(NamedTuple):
    first: Any
    second: Any


@struct.dataclass
class Books:
    money: Any
    size: int = struct.field(pytree_node=False)


def state(shift=0):
    return Pair(
        {
            "key": jax.random.key(3 + shift),
            "keys": jax.random.split(jax.random.key(1, impl="rbg"), 3),
            "legacy": jax.random.PRNGKey(5),
            "nothing": jnp.zeros((0, 0)),
            "rows": jnp.zeros((4, 0), jnp.int32),
            "half": jnp.asarray([1.5, -0.0, jnp.nan], jnp.bfloat16),
            "empty": (),
            "none": None,
        },
        [
            Books(jnp.asarray([2**31 - 1, -5], jnp.int32), 7),
            jnp.asarray([jnp.nan, jnp.inf, -0.0, 1e-45]),
            jnp.bool_(True),
            np.arange(6, dtype=np.uint8).reshape(2, 3).T,  # not contiguous
            3 + shift,
            0.1,
            True,
        ],
    )


def pieces(count):
    return [
        Pair(np.full((2, 3), number, np.float32), Pair(np.bool_(number % 2), np.zeros((2, 0))))
        for number in range(count)
    ]


def values(tree):
    return bits(jax.tree.map(lambda x: x if hasattr(x, "dtype") else np.asarray(x), tree))


def test_every_leaf_comes_back_bit_for_bit(tmp_path):
    save(tmp_path, "digest", 6, state(), pieces(3))
    found = restore(tmp_path, "digest", state(), pieces(1)[0])
    assert found.done == 6
    assert jax.tree.structure(found.state) == jax.tree.structure(state())
    assert values(found.state) == values(state())
    assert found.state[0]["keys"].dtype == state()[0]["keys"].dtype
    assert [type(x) for x in found.state[1][4:]] == [int, float, bool]
    assert len(found.pieces) == 3 and isinstance(found.pieces[0], Pair)
    assert values(found.pieces) == values(pieces(3))
    like = jax.eval_shape(lambda: state()._replace(second=[]))
    save(tmp_path, "digest", 8, state()._replace(second=[]), [])
    again = restore(tmp_path, "digest", like, pieces(1)[0])
    assert again.done == 8 and again.pieces == []


def test_large_and_small_arrays_together(tmp_path, monkeypatch):
    from d2m_jax.report import checkpoint

    monkeypatch.setattr(checkpoint, "GROUP", 100)
    rng = np.random.default_rng(0)
    tree = [jnp.asarray(rng.random(n), jnp.float32) for n in (1, 40, 0, 10, 12, 300, 1)]
    save(tmp_path, "d", 1, tree, pieces(2))
    found = restore(tmp_path, "d", tree, pieces(1)[0])
    assert values(found.state) == values(tree) and values(found.pieces) == values(pieces(2))


def test_the_newest_two_are_kept_and_a_damaged_one_is_passed_over(tmp_path):
    for done in (2, 4, 6):
        save(tmp_path, "d", done, state(done), pieces(done))
    folder = tmp_path / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["4", "6"]
    save(tmp_path, "d", 6, state(9), pieces(6))  # the same moment again
    assert values(restore(tmp_path, "d", state(), pieces(1)[0]).state) == values(state(9))
    for path in (folder / "6").rglob("*"):
        if path.is_file() and "ocdbt" in str(path):
            path.write_bytes(b"torn")
    found = restore(tmp_path, "d", state(), pieces(1)[0])
    assert found.done == 4 and values(found.state) == values(state(4))
    for path in (folder / "4").rglob("metadata"):
        path.unlink()
    with pytest.raises(StorageError, match=r"no checkpoint in .* can be read .* begin anew"):
        restore(tmp_path, "d", state(), pieces(1)[0])


def test_no_checkpoint_is_none(tmp_path):
    assert restore(tmp_path, "d", state(), pieces(1)[0]) is None
    (tmp_path / "checkpoints" / "4.orbax-checkpoint-tmp").mkdir(parents=True)  # killed in the first
    assert restore(tmp_path, "d", state(), pieces(1)[0]) is None


def test_other_configurations_and_other_code_are_refused(tmp_path):
    save(tmp_path, "one", 2, state(), pieces(1))
    with pytest.raises(StorageError, match="belongs to another configuration: choose another"):
        restore(tmp_path, "two", state(), pieces(1)[0])
    longer = state()
    longer[1][1] = jnp.zeros(9)
    with pytest.raises(StorageError, match=r"float32\[4\] for .second\[1\], and the market floa"):
        restore(tmp_path, "one", longer, pieces(1)[0])
    with pytest.raises(StorageError, match=r"has 13 arrays, and the market has 1:"):
        restore(tmp_path, "one", [jnp.zeros(1)], pieces(1)[0])
    with pytest.raises(StorageError, match=r"saw other facts of a round"):
        restore(tmp_path, "one", state(), (np.zeros(1),))


def test_every_says_when(tmp_path, monkeypatch):
    saved = []

    def when(every):
        look = Checkpoint(tmp_path, "d", every=every)
        saved.clear()
        for done in range(2, 13, 2):
            before = look.last
            look(Chunk(state(), None, None, done, 12, pieces(1)))
            saved.extend([done] if look.last != before else [])
        return list(saved)

    assert when(0) == [2, 4, 6, 8, 10, 12]
    assert when(5) == [6, 12]
    assert when(100) == [12]
    assert when(None) == []  # ten seconds are not over
    monkeypatch.setattr(checkpoint, "PAUSE", 0.0)
    assert when(None) == [2, 4, 6, 8, 10, 12]


@pytest.mark.slow
def test_a_market_stopped_half_way_ends_with_the_same_bits(tmp_path):
    whole = outcome()
    assert drive(config(), [Checkpoint(tmp_path, "d")], stop_at=6) is None
    saved = restore(tmp_path, "d", *likes(config()))
    assert saved.done == 6 and len(saved.pieces) == 1
    again = drive(config(), [Checkpoint(tmp_path, "d")], saved=saved)
    assert bits(again) == bits(whole)
    last = restore(tmp_path, "d", *likes(config()))
    assert last.done == 12 and bits(drive(config(), saved=last)) == bits(whole)


COUNTING = """
import sys
import jax.numpy as jnp
from d2m_jax.report.checkpoint import save
for done in range(1, 10**6):
    save(sys.argv[1], "d", done, {"x": jnp.full(1000, done), "z": jnp.zeros((0, 0))}, [done])
    print(done, flush=True)
"""


@pytest.mark.long
def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    like = {"x": jnp.zeros(1000, jnp.int32), "z": jnp.zeros((0, 0))}
    rng = np.random.default_rng()
    for trial in range(6):
        folder = tmp_path / str(trial)
        with subprocess.Popen(
            [sys.executable, "-c", COUNTING, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as child:
            for _ in range(1 + trial):
                said = int(child.stdout.readline())
            time.sleep(rng.uniform(0, 0.2))
            child.send_signal(signal.SIGKILL)
            rest = [int(line) for line in child.stdout]
        found = restore(folder, "d", like, 0)
        assert found.done >= (rest or [said])[-1] and (found.state["x"] == found.done).all()
        assert found.pieces == [found.done]


MARKET = """
import sys
from tests import conftest
import dataclasses, hashlib
from d2m_jax.report import Checkpoint, restore
from tests.report.runs import SPEC, bits, config, drive, likes
made = config()._replace(spec=dataclasses.replace(SPEC, eval_every=1))
saved = restore(sys.argv[1], "d", *likes(made))
print("from", saved.done if saved else 0, flush=True)
look = lambda chunk: print("round", chunk.done, flush=True)
found = drive(made, [Checkpoint(sys.argv[1], "d"), look], saved=saved)
print("bits", hashlib.sha256(repr(bits(found)).encode()).hexdigest(), flush=True)
"""


def market(folder, kill_after=None):
    """The lines that a market says until it ends, or is killed some time after so many rounds."""
    lines, rng = [], np.random.default_rng()
    with subprocess.Popen(
        [sys.executable, "-c", MARKET, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        for line in child.stdout:
            lines.append(line.split())
            if lines[-1][0] == "round" and int(lines[-1][1]) == kill_after:
                time.sleep(rng.uniform(0, 0.15))
                child.send_signal(signal.SIGKILL)
    return lines


@pytest.mark.long
def test_a_market_killed_again_and_again_ends_with_the_same_bits(tmp_path):
    whole = market(tmp_path / "whole")
    assert whole[0] == ["from", "0"] and whole[-1][0] == "bits"
    for after in (2, 5, 9):
        lines = market(tmp_path / "killed", kill_after=after)
        assert lines[-1][0] == "round"
    last = market(tmp_path / "killed")
    assert int(last[0][1]) >= 9 and last[-1] == whole[-1]
