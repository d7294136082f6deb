"""The trained model: bit for bit, readable in a process without this package."""

import subprocess
import sys
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open

from d2m_jax.report import StorageError, load_model, model_file, save_model
from d2m_jax.tasks import from_flax


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(5, name="hidden")(x))
        return nn.Dense(3, param_dtype=jnp.bfloat16)(x)


class Layers(NamedTuple):
    first: Any
    rest: Any


def test_a_linen_module_and_its_head(tmp_path):
    x = np.linspace(-1, 1, 14).reshape(2, 7)
    params = Net().init(jax.random.key(0), x)
    path = tmp_path / "model.safetensors"
    save_model(path, params, {"task": "net", "metric": 0.75})
    found = load_model(path)
    assert jax.tree.structure(found) == jax.tree.structure(params)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(params)):
        assert a.dtype == b.dtype and a.tobytes() == np.asarray(b).tobytes()
    assert (Net().apply(found, x) == Net().apply(params, x)).all()
    with safe_open(path, framework="np") as file:
        facts = dict(file.metadata())
    assert facts == {"format": "np", "task": "net", "metric": "0.75"}


def test_any_tree_comes_back_into_its_structure(tmp_path):
    tree = Layers(
        [np.arange(3.0), {"w": np.asarray(np.float32(2)), "none": np.zeros((0, 4))}],
        (np.arange(6, dtype=np.int32).reshape(2, 3).T,),
    )
    save_model(tmp_path / "m", tree)
    found = load_model(tmp_path / "m")
    assert sorted(found) == ["first", "rest"] and sorted(found["first"]) == ["0", "1"]
    again = model_file.like(tree, found)
    assert isinstance(again, Layers) and again.first[1]["w"].shape == ()
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(tree)):
        assert a.dtype == b.dtype and a.shape == b.shape and (a == b).all()
    many = [np.full(2, i) for i in range(12)]  # "10" must not come before "2"
    save_model(tmp_path / "m", many)
    assert [int(x[0]) for x in model_file.like(many, load_model(tmp_path / "m"))] == [*range(12)]
    save_model(tmp_path / "m", np.ones(2))
    assert load_model(tmp_path / "m")["params"].tolist() == [1, 1]


def test_names_may_have_dots(tmp_path):
    tree = {"layer.1": {"50%": np.ones(2)}, "b": np.zeros(3)}
    save_model(tmp_path / "m", tree)
    assert sorted(load_model(tmp_path / "m")) == ["b", "layer.1"]
    again = model_file.like(tree, load_model(tmp_path / "m"))
    assert again["layer.1"]["50%"].tolist() == [1, 1] and again["b"].shape == (3,)


def test_the_file_of_a_linen_task_fits_its_module(tmp_path):
    x = np.linspace(-1, 1, 14).reshape(2, 7).astype(np.float32)
    task = from_flax(Net(), sample={"inputs": x, "labels": np.array([0, 2])})
    params = task.init(jax.random.key(0))
    save_model(tmp_path / "m", params)
    outputs = task.apply(params, {"inputs": x}, None)
    assert (np.asarray(Net().apply(load_model(tmp_path / "m"), x)) == np.asarray(outputs)).all()


def test_what_does_not_fit_is_a_sentence(tmp_path):
    path = tmp_path / "m"
    with pytest.raises(ValueError, match="the model has no parameters"):
        save_model(path, {"a": ()})
    with pytest.raises(StorageError, match=r"cannot be read: .*No such file"):
        load_model(path)
    path.write_bytes(b"no model")
    with pytest.raises(StorageError, match=r"the model .*m cannot be read"):
        load_model(path)
    with pytest.raises(ValueError, match=r"w has the shape \(2,\) in the model file, and \(3,\)"):
        model_file.like({"w": np.ones(3)}, {"w": np.ones(2)})
    with pytest.raises(ValueError, match="the model file has no b"):
        model_file.like({"b": np.ones(3)}, {"w": np.ones(2)})


ELSEWHERE = """
import flax.linen as nn
import numpy as np
try:
    import d2m_jax
except ImportError:
    print("no such package")

class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(5, name="hidden")(x))
        return nn.Dense(3)(x)

module, x = Net(), np.linspace(-1, 1, 14).reshape(2, 7)
LOADER
print(np.asarray(outputs).tobytes().hex())
"""


@pytest.mark.slow
def test_the_five_lines_in_a_fresh_process_without_this_package(tmp_path):
    """They are taken from the docstring, so that what is documented is what is tested."""
    lines = model_file.__doc__.splitlines()
    start = next(i for i, line in enumerate(lines) if "import unflatten_dict" in line)
    loader = "\n".join(line[4:] for line in lines[start : start + 5])
    net = type("Net", (nn.Module,), {"__call__": nn.compact(lambda self, x: nn.Dense(3)(
        nn.relu(nn.Dense(5, name="hidden")(x))))})()  # fmt: skip
    x = np.linspace(-1, 1, 14).reshape(2, 7)
    params = net.init(jax.random.key(0), x)
    save_model(tmp_path / "model.safetensors", params)
    out = subprocess.run(
        [sys.executable, "-P", "-c", ELSEWHERE.replace("LOADER", loader)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    package, outputs = out.stdout.splitlines()
    assert package == "no such package"
    assert outputs == np.asarray(net.apply(params, x)).tobytes().hex()
