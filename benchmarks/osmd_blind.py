"""Corrected OSMD without the buyer's correction examples, under six attacks.

    python -m benchmarks.osmd_blind --data_dir=DIR

MNIST MLP, 10 of 20 sellers a round, 6 Byzantine, Dirichlet 0.1 and 0.5, and iid: the worlds of
`configs/sweeps/zoo_partitions.py`, in which the defence has those examples. One program, the attack
picked by index. Prints test accuracy in %.
"""

import argparse
import dataclasses

import jax
import jax.numpy as jnp

from configs.sweeps import zoo_mlp
from d2m_jax import as_arrays, make_market
from d2m_jax.attacks import ATTACKS
from d2m_jax.attacks.switched import switched_attack
from d2m_jax.config.parsing import parse_config
from d2m_jax.data import FederatedData, load
from d2m_jax.market import deal, market_of

PARTITIONS = {"dirichlet 0.1": ("dirichlet", 0.1), "dirichlet 0.5": ("dirichlet", 0.5)}
PARTITIONS["iid"] = ("iid", 0.5)


def blind(data: FederatedData) -> FederatedData:
    """The same world without correction examples."""
    return data.replace(correction=jax.tree.map(lambda leaf: leaf[:0], data.correction))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default=None, help="folder of the official data archives")
    args = parser.parse_args(argv)
    config = parse_config(zoo_mlp.get_config())
    spec = dataclasses.replace(config.spec, sampler="corrected_osmd", aggregator="own")
    people = dataclasses.replace(config.hparams.population, num_byzantine=6)
    learning = dataclasses.replace(config.hparams.learning, lr=zoo_mlp.RATES[0])
    hparams = dataclasses.replace(config.hparams, population=people, learning=learning)
    hparams = as_arrays(hparams)
    dataset = load(config.data.name, args.data_dir)
    plain = make_market(spec, dataset)

    @jax.jit
    def run(index: jax.Array, data: FederatedData) -> jax.Array:
        attack = switched_attack([ATTACKS[name] for name in zoo_mlp.SIX], index)
        market = market_of(plain.parts._replace(attack=attack))
        return market.run(jax.random.key(config.seed), hparams, data).test_metric

    worlds = {
        name: deal(
            dataset,
            dataclasses.replace(config.data, partition=kind, alpha=alpha),
            20,
            whole_pool=True,
        )
        for name, (kind, alpha) in PARTITIONS.items()
    }
    print("| attack | " + " | ".join(worlds) + " |\n|" + "---|" * (len(worlds) + 1))
    for i, attack in enumerate(zoo_mlp.SIX):
        cells = [100 * float(run(jnp.int32(i), blind(world))) for world in worlds.values()]
        print(f"| {attack} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
