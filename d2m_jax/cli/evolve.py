"""Where does the market end? Strategies that earn more spread, epoch after epoch.

    python scripts/evolve.py --config=configs/evolve.py --out=results/evolve

A grid of starts (shares of honest sellers and of honest nodes), each a market run again and again
with the same ledger: balances, stakes and bans carry over, who was slashed stakes anew while it has
money, buyers bring fresh money. Between epochs parties revise their strategies by replicator or
logit dynamics. Writes a table and phase plots.
"""

import json
from collections.abc import Sequence

from absl import flags
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from d2m_jax import parse_config, validate
from d2m_jax.audit.evolution import Pressure, codes_of, evolve, tabulate
from d2m_jax.audit.strategies import seller_strategies
from d2m_jax.cli import arguments, console, devices, door, flag_tables, paths
from d2m_jax.core.files import make_folder
from d2m_jax.incentives import dynamics
from d2m_jax.market.validation import check_one_job
from d2m_jax.report.phase import plot_phase

STRINGS: flag_tables.Strings = {
    "data_dir": (None, "folder of the official data archives"),
    "out": ("results/evolve", "folder of the table and the plots"),
}
LISTS: flag_tables.Lists = {
    "sellers": (["free_rider_replay", "sign_flip"], "seller strategies beside honesty"),
    "nodes": (["collude", "silent"], "node strategies beside honesty"),
    "starts": (["0.1", "0.3", "0.5", "0.7", "0.9"], "shares of honest parties"),
}
INTEGERS: flag_tables.Integers = {
    "epochs": (15, 1, "markets one after another"),
    "seed": (0, 0, "of the run"),
}
FLOATS: flag_tables.Floats = {  # the numbers of `Pressure`
    "seller_rate": (3e-5, 0.0, None, "1/units: how strongly income counts"),
    "node_rate": (3e-4, 0.0, None, "1/units"),
    "inertia": (0.5, 0.0, 1.0, "probability that a party does not revise"),
    "mutation": (0.02, 0.0, 1.0, "probability that a revision is at random"),
    "training_cost": (100.0, 0.0, None, "units per round of honest training"),
    "outside_gain": (0.0, 0.0, None, "units that an accepted wrong result is worth to each"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; see `door.enter`."""
    return door.enter(run, argv, define=define, about=__doc__, config="configs/evolve.py")


def define(values: flags.FlagValues) -> None:
    """The flags of the command."""
    flag_tables.strings(values, STRINGS)
    kinds, about = list(dynamics.DYNAMICS), "how strategies spread"
    flags.DEFINE_enum("dynamics", "replicator", kinds, about, flag_values=values)
    flag_tables.lists(values, LISTS)
    flag_tables.integers(values, INTEGERS)
    flag_tables.floats(values, FLOATS)


def run(call: door.Call) -> None:
    """Runs all epochs, writes table and plot, prints the last shares."""
    devices.check_devices()
    values = call.flags
    config = parse_config(call.config)
    check_one_job(config.spec, "evolve")
    validate(config.spec, config.hparams, config.data)
    shares = arguments.numbers(values, "starts", arguments.share, "shares between 0 and 1")
    if not values.nodes:
        raise ValueError("--nodes names no strategy beside honesty")
    seller_strategies(tuple(values.sellers))
    codes_of(values.nodes)
    pressure = Pressure(values.dynamics, *(values[name].value for name in FLOATS))
    out = make_folder(paths.given(values.out))
    screen = console.make(stderr=True)
    columns = (TextColumn("epochs"), console.bar(screen), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=screen) as progress:
        history = evolve(
            config,
            tuple(values.sellers),
            tuple(values.nodes),
            [(a, b) for a in shares for b in shares],
            pressure,
            seed=values.seed,
            epochs=progress.track(range(values.epochs)),
            data_dir=paths.optional(values.data_dir),
        )
    table = tabulate(history)
    table.to_csv(out / "evolve.csv", index=False)
    plot_phase(history, out / "phase.png")
    (out / "settings.json").write_text(json.dumps({"command": call.command}, indent=2) + "\n")
    last = table[table["epoch"] == values.epochs - 1]
    shown = [c for c in last.columns if c.startswith(("seller ", "node ")) or c == "delivered"]
    print(last[["start_sellers", "start_nodes", *shown]].round(2).to_string(index=False))
    print(f"table and phase plot: {out}")
