"""The results folder of one run: its name, its configuration, and who may write there. Host only.

`config.json` is written before anything is computed, whole, and never by another configuration.
Read next: `results.py`, what a finished run adds; `checkpoint.py`, what an unfinished one goes on
from.
"""

import hashlib
import json
import pathlib
import platform
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from d2m_jax.config.parsing import Config, to_dict
from d2m_jax.core.choices import digest, label
from d2m_jax.core.files import (
    RESUME,
    StorageError,
    given_path,
    make_folder,
    remove_leftovers,
    write_whole,
)
from d2m_jax.market.parts import fixed_rules

CONFIG, PROVENANCE, CHECKPOINTS = "config.json", "provenance", "checkpoints"
# What a run leaves: removed when the same configuration is run anew in its folder.
LEFT_FILES = (
    *(
        f"{name}.csv"
        for name in ("rounds", "evaluations", "sellers", "nodes", "money", "holdings", "auction")
    ),
    *(f"{name}.png" for name in ("quality", "sampling_mass", "income", "execution_sets")),
    *("ledger.json", "payments.json", "closing.json", "visibility.txt", "model.safetensors"),
    *("work.parquet", "votes.parquet", "jobs.csv", "serves.csv", "jobs.png"),
)
LEFT_OF_JOBS = "model-job*.safetensors"
LEFT_FOLDERS = (CHECKPOINTS, "tensorboard", "report")


def results_name(config_file: str, overrides: Mapping[str, Any], seed: int) -> pathlib.Path:
    """The default results folder: results/<config>-<digest of the overrides>-seed<seed>.

    Args:
        config_file: path of the configuration file; its stem is the name.
        overrides: dotted field -> value, as changed on the command line; the seed does not count,
            for it is in the name. None of them: no digest.
        seed: of the run.
    """
    changed = {field: value for field, value in overrides.items() if field != "seed"}
    parts = [pathlib.Path(config_file).stem]
    if changed:
        parts.append(tree_digest(changed)[:8])
    return pathlib.Path("results") / "-".join([*parts, f"seed{seed}"])


def config_tree(config: Config) -> dict[str, Any]:
    """A configuration as it is written: plain JSON values, and the rules that the ledger uses.

    Of the rules the auction's, the number of rounds and what stakes are pledged follow from `spec`.
    A part of the user's own is its name and the digest of its code.
    """
    tree = {part: to_dict(value) for part, value in config._asdict().items()}
    rules = tree["hparams"]["rules"]
    tree["hparams"] = {
        **tree["hparams"],
        "rules": {**rules, **fixed_rules(config.spec)},
    }
    return json.loads(json.dumps(tree, default=plain))


def plain(value: Any) -> Any:
    """What `json` cannot write: arrays as numbers, parts of a user's own as name and digest."""
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        return np.asarray(value).tolist()
    if callable(value):
        return f"{label(value)}@{digest(value)}"
    return str(value)


def tree_digest(tree: Any) -> str:
    """A hash of a configuration tree, of names and values alone: 16 hexadecimal digits."""
    text = json.dumps(tree, sort_keys=True, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def provenance() -> dict[str, Any]:
    """Versions, device and command, to be stored with every result."""
    from d2m_jax import __version__

    return {
        "d2m_jax": __version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
        "command": " ".join(sys.argv),
    }


def open_results(
    path: str | pathlib.Path,
    tree: Mapping[str, Any],
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> pathlib.Path:
    """Makes the results folder of a run, checks it, and writes its `config.json`.

    Args:
        path: of the folder; `~` is expanded.
        tree: the configuration, from `config_tree`.
        resume: the run goes on from what is there; nothing of it is removed. An empty folder is a
            run from the beginning.
        overwrite: results of the same configuration are removed and made anew. Those of another
            one never are.

    Returns:
        The folder.

    Raises:
        StorageError: it cannot be made or written, or holds results of a sweep, of another
            configuration or version, or of this one without `resume` or `overwrite`.
    """
    folder, tree = make_folder(path), json.loads(json.dumps(tree, default=plain))
    if (folder / "sweep.json").exists():
        raise StorageError(f"{folder} holds results of a sweep: choose another folder")
    found = read_config(folder)
    if found:
        _check(folder, found, tree, resume or overwrite)
    elif (folder / "ledger.json").exists() or (folder / CHECKPOINTS).exists():
        raise StorageError(f"{folder} holds results without a configuration: choose another folder")
    if found and not resume:
        clear(folder)
    remove_leftovers(folder)
    write_json(folder / CONFIG, {**tree, PROVENANCE: provenance()})
    return folder


def is_unfinished(path: str | pathlib.Path) -> bool:
    """Whether a run was stopped in this folder."""
    folder = given_path(path)
    return (folder / CONFIG).exists() and not (folder / "ledger.json").exists()


def _check(folder: pathlib.Path, found: dict[str, Any], tree: Any, again: bool) -> None:
    """Refuses a folder that these results must not go to."""
    about = found.pop(PROVENANCE, {})
    if found != tree:
        where = first_difference(found, tree)
        raise StorageError(
            f"{folder} holds results of another configuration ({where}): choose another folder"
        )
    if not again:
        raise StorageError(
            f"{folder} holds results of this configuration already: {RESUME}, or choose another "
            "folder"
        )
    now = provenance()["d2m_jax"]
    if about.get("d2m_jax", now) != now:
        raise StorageError(
            f"{folder} was made by d2m_jax {about['d2m_jax']}, and this is {now}: choose another "
            "folder"
        )


def first_difference(old: Any, new: Any, path: str = "") -> str:
    """The first field in which two trees differ, as "field is old there, new here"."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            inner = f"{path}.{name}" if path else str(name)
            if name not in old or name not in new:
                return f"{inner} is in one of them only"
            if old[name] != new[name]:
                return first_difference(old[name], new[name], inner)
    return f"{path} is {old} there and {new} here"


def clear(folder: pathlib.Path) -> None:
    """Removes what a run leaves; other files stay."""
    for name in LEFT_FILES:
        (folder / name).unlink(missing_ok=True)
    for path in folder.glob(LEFT_OF_JOBS):
        path.unlink()
    for name in LEFT_FOLDERS:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)


def read_config(folder: str | pathlib.Path) -> dict[str, Any]:
    """`config.json` of a results folder; empty when there is none.

    Raises:
        StorageError: it is damaged.
    """
    path = given_path(folder) / CONFIG
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read ({error}); move it away to go on") from error


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes a JSON file whole.

    Raises:
        StorageError: the disk is full or the folder is gone.
    """
    text = json.dumps(value, indent=2, default=plain) + "\n"
    write_whole(path, text.encode(), f"make room, and {RESUME}")
