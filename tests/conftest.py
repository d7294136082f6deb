"""Shared settings: a persistent compilation cache, strict rank promotion, two CPU devices."""

import importlib.metadata
import itertools
import os
import pathlib
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
# The tests compile far more than they compute. With these flags a market compiles in a quarter of
# the time; set XLA_FLAGS to test what users run. An XLA that does not know a flag ends the process.
FAST_COMPILATION = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false"
    if importlib.metadata.version("jaxlib").startswith("0.10.")
    else ""
)
os.environ.setdefault("XLA_FLAGS", f"--xla_force_host_platform_device_count=2 {FAST_COMPILATION}")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("D2M_CACHE_DIR", str(ROOT / ".cache" / "data"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

import hypothesis
import jax
import pytest

from tests.levels import mark_rest

jax.config.update("jax_numpy_rank_promotion", "raise")
hypothesis.settings.register_profile(
    "ci", deadline=None, max_examples=30, suppress_health_check=list(hypothesis.HealthCheck)
)
hypothesis.settings.load_profile("ci")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before `-m` chooses."""
    mark_rest(items)


FILES = itertools.count(1)  # of this process


@pytest.fixture(scope="module", autouse=True)
def forget_programs() -> Iterator[None]:
    """The programs of all files take 5 GB; most are of no use to the next file, so a few stay."""
    yield
    if next(FILES) % 10 == 0:
        jax.clear_caches()


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """The folder of the official archives; the test is skipped where there is none."""
    folder = pathlib.Path(os.environ.get("D2M_DATA_DIR", ROOT.parent / "shared" / "data"))
    if not (folder / "mnist").is_dir():
        pytest.skip(f"no real data: {folder.name} not found beside the project (set D2M_DATA_DIR)")
    return folder
