"""Counts and switches that do not make a market."""

from d2m_jax.config.spec import Spec
from d2m_jax.core.counts import check_count, check_switch

MAX_BATCH = 2**16  # examples that a seller looks at in one step
MAX_JOBS = 30  # side by side: one tag each in a bitmask of 31
MIN_OPENINGS, MAX_OPENINGS = 8, 2**13  # of all units: each is held against all, 256 MiB at most
MAX_COUNT = 2**20  # of anything that a spec counts: parties, rounds, blocks, steps
COUNTS = (
    "num_jobs",
    "num_sellers",
    "num_units",
    "num_sampled",
    "num_rounds",
    "eval_every",
    "batch_size",
    "local_steps",
    "num_buyers",
    "num_blocks",
    "num_nodes",
)
SELLING = ("accounts", "units")
SWITCHES = ("scaffold", "partial", "rice")


def check_shapes(spec: Spec) -> None:
    """Raises a ValueError, one sentence, for counts and switches that do not make a market."""
    for name in COUNTS:
        most = MAX_BATCH if name == "batch_size" else MAX_COUNT
        check_count(name, getattr(spec, name), 1, most)
    check_count("secure_group", spec.secure_group)
    check_count("openings", spec.openings)
    if spec.selling not in SELLING:
        raise ValueError(f"selling must be accounts or units, not {spec.selling!r}")
    if spec.unit_slots and spec.openings:
        check_openings(spec)
    for name in SWITCHES:
        check_switch(name, getattr(spec, name))
    if spec.num_sampled > spec.num_listings:
        what = "units" if spec.selling == "units" else "sellers"
        raise ValueError(
            f"num_sampled = {spec.num_sampled} {what} cannot be drawn from num_{what} = "
            f"{spec.num_listings}"
        )
    if spec.num_jobs > min(MAX_JOBS, spec.num_buyers):
        raise ValueError(
            f"num_jobs = {spec.num_jobs} is more than the num_buyers = {spec.num_buyers} that bid "
            f"for them, or than {MAX_JOBS}"
        )
    if spec.num_rounds % spec.eval_every:
        raise ValueError(
            f"eval_every = {spec.eval_every} must divide num_rounds = {spec.num_rounds}"
        )


def check_openings(spec: Spec) -> None:
    """Raises a ValueError for too few openings to compare with each other, or too many."""
    shown = spec.num_units * spec.openings
    if not MIN_OPENINGS <= shown <= MAX_OPENINGS:
        raise ValueError(
            f"num_units * openings = {shown:,} examples are held against each other, which takes "
            f"{MIN_OPENINGS} to {MAX_OPENINGS:,}: change one of them, or set openings to 0"
        )
