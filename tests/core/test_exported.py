"""Programs that another process has traced: the same numbers, and never another program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from d2m_jax.core import exported
from d2m_jax.core.exported import is_plain, kept, shelf_of

pytest.importorskip("flatbuffers", reason="nothing is kept without it")
KEY, ROWS = jax.random.key(0), {"x": jnp.arange(6.0).reshape(2, 3), "n": jnp.int32(4)}


@pytest.fixture
def shelf(tmp_path):
    """An empty shelf."""
    return shelf_of("mean", 3)._replace(folder=tmp_path / "programs")


def program():
    """A function of trees with a key among them, and the list of its traces."""
    traces = []

    def fn(key, rows, nothing=None):
        traces.append(1)
        noise = jax.random.normal(key, rows["x"].shape)
        return {"sum": (rows["x"] + noise).sum(0), "next": (jax.random.fold_in(key, rows["n"]), ())}

    return fn, traces


def same(one, other):
    """Whether two results are equal, bit for bit."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for mine, theirs in zip(jax.tree.leaves(one), jax.tree.leaves(other)):
        if jnp.issubdtype(mine.dtype, jax.dtypes.prng_key):
            mine, theirs = jax.random.key_data(mine), jax.random.key_data(theirs)
        np.testing.assert_array_equal(mine, theirs)


def test_a_program_is_traced_once(shelf):
    """The second process reads it; only shapes count, not values."""
    fn, traces = program()
    wanted = jax.jit(fn)(KEY, ROWS)
    first = jax.jit(kept(shelf, "fn", fn, KEY, ROWS, None))(KEY, ROWS, None)
    before = len(traces)
    second = jax.jit(kept(shelf, "fn", fn, KEY, ROWS, None))
    same(first, wanted)
    same(second(KEY, ROWS, None), wanted)
    other = {"x": ROWS["x"] * 2, "n": jnp.int32(5)}
    again = jax.jit(kept(shelf, "fn", fn, jax.random.key(7), other, None))
    same(again(KEY, ROWS, None), wanted)
    assert len(traces) == before == 2
    assert second.lower(KEY, ROWS, None).as_text().startswith("module @jit_fn")


def test_another_program_is_another_entry(shelf, monkeypatch):
    """Shapes, types, names, what the program was made of, and the code of the package."""
    fn, _ = program()

    def count(shelf, name="fn", rows=ROWS):
        before = len(list(shelf.folder.glob("*")))
        kept(shelf, name, fn, KEY, rows, None)
        return len(list(shelf.folder.glob("*"))) - before

    assert count(shelf) == 1
    assert count(shelf) == 0
    assert count(shelf, name="other") == 1
    assert count(shelf, rows={**ROWS, "x": jnp.zeros((3, 3))}) == 1
    assert count(shelf, rows={**ROWS, "n": jnp.uint32(4)}) == 1
    assert count(shelf._replace(origin=shelf_of("mean", 4).origin)) == 1
    with monkeypatch.context() as patch:
        patch.setattr("scipy.__version__", "0.0")
        assert shelf_of("mean", 3).origin != shelf.origin
    monkeypatch.setattr(exported, "source", lambda: "edited")
    assert shelf_of("mean", 3).origin != shelf.origin


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:40] + b"x" + b[41:]]
)
def test_a_damaged_entry_is_traced_anew(shelf, damage):
    """And is whole again afterwards."""
    fn, traces = program()
    kept(shelf, "fn", fn, KEY, ROWS, None)
    (path,) = shelf.folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    same(jax.jit(kept(shelf, "fn", fn, KEY, ROWS, None))(KEY, ROWS, None), jax.jit(fn)(KEY, ROWS))
    before = len(traces)
    kept(shelf, "fn", fn, KEY, ROWS, None)
    assert len(traces) == before


@pytest.mark.parametrize("what", ["export.deserialize", "pickle.loads", "pickle.dumps"])
def test_a_program_that_no_reader_or_writer_takes_is_traced(shelf, monkeypatch, what):
    """Whatever another version of a library raises."""
    fn, _ = program()
    kept(shelf, "fn", fn, KEY, ROWS, None)

    def fail(*_):
        raise AttributeError("another version")

    monkeypatch.setattr(f"d2m_jax.core.exported.{what}", fail)
    wanted = jax.jit(fn)(KEY, ROWS)
    same(jax.jit(kept(shelf, "fn", fn, KEY, ROWS, None))(KEY, ROWS, None), wanted)
    same(jax.jit(kept(shelf, "other", fn, KEY, ROWS, None))(KEY, ROWS, None), wanted)


def test_what_cannot_be_written_down_is_called_as_it_is(shelf):
    """A call of the host has no form that another process could read."""

    def fn(x):
        return jax.pure_callback(lambda x: np.asarray(x) + 1, x, x)

    assert kept(shelf, "fn", fn, ROWS["x"]) is fn
    blocked = shelf._replace(folder=shelf.folder / "file")
    shelf.folder.mkdir(exist_ok=True)
    blocked.folder.write_text("no folder")
    assert float(kept(blocked, "fn", jnp.sum, ROWS["x"])(ROWS["x"])) == 15


def test_own_parts_have_no_shelf():
    """Nobody knows all the code that a function of the user's own calls."""
    assert is_plain((1, 2.0, "a", None, True, np.dtype("uint8"), ((),)))
    assert not is_plain((1, (len,)))
    assert shelf_of(("mlp", len)) is None
    assert kept(None, "fn", len) is len
