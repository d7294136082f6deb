"""The devices of JAX as a command meets them: quiet logs, and a sentence where there are none."""

import logging
import os
import warnings

import jax

from d2m_jax.cli import paths


def quiet_logs() -> None:
    """Warnings in one plain line; none of devices not found or of a compilation not kept."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")


def check_devices() -> None:
    """Starts the devices; after `jax.distributed.initialize`, if that is called at all.

    Raises:
        ValueError: JAX has none of the kind that was asked for.
    """
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # an empty assertion in JAX 0.10
        asked = os.environ.get("JAX_PLATFORMS", "")
        why = str(error).split(" (set JAX_PLATFORMS")[0]
        raise ValueError(
            "JAX finds no device here"
            + (f" for JAX_PLATFORMS={asked}" if asked else "")
            + (f" ({why})" if why else "")
            + "; unset JAX_PLATFORMS to take what there is, or install the JAX of that device"
        ) from error


def keep_compiled() -> None:
    """Keeps compiled programs for the next run, unless the user has chosen otherwise."""
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(paths.cache() / "jax"))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
