"""How fast is the vote: microseconds per `decide`, alone and in batches, and compile times.

    python -m benchmarks.cone            # pools of 32 to 100,000 nodes
    python -m benchmarks.cone --quick    # 64 and 1,000 nodes

Each line is the median of five scans over 20 rounds, as in a market, with a quarter of the nodes
colluding. The exact probabilities (host, NumPy) are timed below. Measured on two shared CPU cores
of a server (2.x GHz, AVX-512), jax 0.10.2: 2-4 us at 64 nodes in a batch of 1,024 worlds, 10 ms at
100,000 nodes; docs/cone.md has a full table.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp

from d2m_jax.cone import ConeParams, decide, exact_vote
from d2m_jax.core.types import Key

ROUNDS = 20
WORLDS = (
    (32, 1),
    (32, 1024),
    (64, 1),
    (64, 1024),
    (256, 256),
    (1000, 64),
    (10_000, 4),
    (100_000, 1),
)
OPTIONS = (
    ("exponential", "lead"),
    ("exponential", "hypergeometric"),
    ("fixed", "lead"),
    ("independent", "miracle"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two pools only")
    quick = parser.parse_args().quick
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}")
    print(f"{'nodes':>8} {'worlds':>7}  {'schedule, rule':<28} {'us/vote':>9} {'compile s':>10}")
    for nodes, worlds in WORLDS if not quick else ((64, 1024), (1000, 64)):
        line(nodes, worlds, *OPTIONS[0])
    for schedule, rule in OPTIONS[1:]:
        line(64, 256, schedule, rule)
    print("\nexact probabilities, ms per point")
    for pool in (100,) if quick else (100, 1000, 100_000):
        for rule in ("lead", "hypergeometric", "majority_last", "miracle"):
            exact_vote(pool, 3 * pool // 10, ConeParams(), stop_rule=rule)
            start = time.perf_counter()
            vote = exact_vote(pool, 3 * pool // 10, ConeParams(), stop_rule=rule)
            spent = 1e3 * (time.perf_counter() - start)
            print(f"{pool:>8} {rule:<16} {spent:8.1f}   error {vote.error:.2e}")


def line(nodes: int, worlds: int, schedule: str, rule: str) -> None:
    behaviour = (jnp.arange(nodes) < nodes // 4).astype(jnp.int32)
    eligible = jnp.ones(nodes, bool)
    keys = jax.random.split(jax.random.key(0), worlds)

    @jax.jit
    def episode(keys: Key, behaviour: jax.Array, params: ConeParams) -> jax.Array:
        def one_round(total: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
            votes = jax.vmap(
                lambda key: decide(
                    jax.random.fold_in(key, index),
                    behaviour,
                    eligible,
                    params,
                    schedule=schedule,
                    stop_rule=rule,
                )
            )(keys)
            return total + votes.outcome.sum() + votes.executions.sum(), None

        return jax.lax.scan(one_round, jnp.int32(0), jnp.arange(ROUNDS))[0]

    start = time.perf_counter()
    program = episode.lower(keys, behaviour, ConeParams()).compile()
    compiled = time.perf_counter() - start
    times = []
    for _ in range(6):
        start = time.perf_counter()
        jax.block_until_ready(program(keys, behaviour, ConeParams()))
        times.append(time.perf_counter() - start)
    spent = statistics.median(times[1:]) / ROUNDS / worlds * 1e6
    print(f"{nodes:>8} {worlds:>7}  {schedule + ', ' + rule:<28} {spent:9.1f} {compiled:10.1f}")


if __name__ == "__main__":
    main()
