"""Counts that do not make a market."""

from d2m_jax.config.spec import Spec

MAX_BATCH = 2**16  # examples that a seller looks at in one step
MAX_COUNT = 2**20  # of anything that a spec counts: parties, rounds, blocks, steps


def check_shapes(spec: Spec) -> None:
    """Raises a ValueError, one sentence, for counts that do not make a market."""
    for name in (
        "num_sellers",
        "num_sampled",
        "num_rounds",
        "eval_every",
        "batch_size",
        "local_steps",
        "num_buyers",
        "num_blocks",
        "num_nodes",
    ):
        if getattr(spec, name) < 1:
            raise ValueError(f"{name} must be at least 1, not {getattr(spec, name)}")
        most = MAX_BATCH if name == "batch_size" else MAX_COUNT
        if getattr(spec, name) > most:
            raise ValueError(f"{name} must be at most {most:,}, not {getattr(spec, name):,}")
    if spec.num_sampled > spec.num_sellers:
        raise ValueError(
            f"num_sampled = {spec.num_sampled} sellers cannot be drawn from num_sellers = "
            f"{spec.num_sellers}"
        )
    if spec.num_rounds % spec.eval_every:
        raise ValueError(
            f"eval_every = {spec.eval_every} must divide num_rounds = {spec.num_rounds}"
        )
