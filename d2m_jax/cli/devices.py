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
    """Keeps compiled programs in the checkout, unless the user has chosen a place."""
    chosen = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if chosen is None and (paths.ROOT / "configs").is_dir():
        jax.config.update("jax_compilation_cache_dir", str(paths.ROOT / ".cache" / "jax"))
