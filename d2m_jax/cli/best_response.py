"""Does honesty pay? Every deviation of every role, played in the same worlds as honesty.

    python scripts/best_response.py --config=configs/digits.py --out=docs/audit

For each strategy of a buyer, node and seller, and for coalitions of nodes: U(s) - U(honest) with
simultaneous confidence intervals, given honest others and given random others (a random share of
them misbehaves, each in a random way). Then what it takes to deter those that pay, solved for on
the simulated payoffs and by the closed conditions. With --learned a deviator of every role is also
trained by evolution, and reported in fresh worlds. The configuration's own bad parties are not
there. Killed, the same command goes on after the last game that had ended.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import jax
from absl import flags
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from d2m_jax import parse_config, validate
from d2m_jax.attacks import ATTACKS
from d2m_jax.audit.auctions import audit_buyers
from d2m_jax.audit.effort_rows import MEASURES, audit_effort
from d2m_jax.audit.learned.rows import audit_learned
from d2m_jax.audit.markets import audit_markets
from d2m_jax.audit.settings import Settings, Stage
from d2m_jax.audit.strategies import known, seller_strategies
from d2m_jax.audit.tuning import audit_tuning
from d2m_jax.audit.units import HONEST, STRATEGIES, audit_units
from d2m_jax.audit.votes import audit_coalitions, audit_nodes
from d2m_jax.audit.watching import audit_watchers
from d2m_jax.cli import console, devices, door, flag_tables, paths
from d2m_jax.config.hparams import HParams
from d2m_jax.config.parsing import Config, to_dict
from d2m_jax.config.population import Population
from d2m_jax.config.spec import Spec
from d2m_jax.core.choices import lookup
from d2m_jax.core.files import make_folder
from d2m_jax.incentives import CONTRIBUTIONS, EXECUTION_COST, TRAINING_COST
from d2m_jax.market.validation import check_one_job
from d2m_jax.report.audit import Audit
from d2m_jax.report.gains import plot_gains

ROLES = ["buyer", "node", "coalition", "seller"]
MORE_ROLES = ["effort", "watcher"]
CROWD = [
    "half_effort", "free_rider_zero", "free_rider_replay", "mimic", "gaussian", "label_flip",
    "relabel_random", "sign_flip", "norm_inflation", "alie", "ipm",
]  # fmt: skip
STRINGS: flag_tables.Strings = {
    "data_dir": (None, "folder of the official data archives"),
    "out": ("results/best_response", "folder of the tables"),
}
LISTS: flag_tables.Lists = {
    "roles": (ROLES, f"which audits to run; also: {', '.join(MORE_ROLES)}"),
    "strategies": (
        ["half_effort", *(name for name in ATTACKS if name != "none")],
        "what a seller may do: half_effort or names of attacks; by default every attack. With "
        "spec.selling units: how it holds its data, see audit/units.py; by default every way",
    ),
    "crowd": (
        CROWD,
        "what the random others do: names as for --strategies, but none that search or remember",
    ),
    "coalitions": (["6"], "sizes of coalitions of sellers"),
    "measures": (list(MEASURES), "of work, in the audit of effort: names of contributions"),
}
INTEGERS: flag_tables.Integers = {
    "worlds": (16, 2, "seeds of whole markets"),
    "more_worlds": (128, 2, "the same where a threshold or a close call is decided"),
    "votes": (1000, 2, "seeds of auctions and votes"),
    "batch": (16, 1, "markets run side by side"),
    "generations": (40, 1, "of the training of a learned deviator"),
    "candidates": (16, 4, "of a generation"),
    "restarts": (2, 1, "of the training"),
}
SWITCHES: flag_tables.Switches = {
    "learned": "also train a deviator of every role by evolution on what it earns",
    "tune": "only try terms of the mechanism, each against deviators that learn",
}
FLOATS: flag_tables.Floats = {
    "confidence": (0.95, 0.5, 0.9999, "of all intervals of a table row together"),
    "tolerance": (0.02, 0.0, 1.0, "ties: this share of what honesty earns there"),
    "training_cost": (TRAINING_COST, 0.0, None, "units per round that honest training costs"),
    "execution_cost": (EXECUTION_COST, 0.0, None, "units that an execution costs a node"),
    "outside_gain": (200_000.0, 0.0, None, "units that spoiling is worth outside"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; see `door.enter`."""
    return door.enter(run, argv, define=define, about=__doc__, config="configs/digits.py")


def define(values: flags.FlagValues) -> None:
    """The flags of the command."""
    flag_tables.strings(values, STRINGS)
    flag_tables.switches(values, SWITCHES)
    flag_tables.lists(values, LISTS)
    flag_tables.integers(values, INTEGERS)
    flag_tables.floats(values, FLOATS)


def run(call: door.Call) -> None:
    """Plays the games of the chosen roles, writes the tables, prints them."""
    devices.check_devices()
    config = parse_config(call.config)
    hparams = config.hparams.replace(population=Population())
    check_one_job(config.spec, "the audit")
    validate(config.spec, hparams, config.data)
    check_flags(call.flags, config.spec)
    settings = settings_of(call.flags, config.spec)
    out = make_folder(paths.given(call.flags.out))
    header = f"Made by `{call.command}`; amounts are units, intervals hold at "
    header += f"{settings.confidence:.0%}.\n"
    depends = {"config": to_dict(config), **settings._asdict(), "jax": jax.__version__}
    audit = Audit(settings.confidence, settings.tolerance, out, header, depends)
    note = json.dumps({"command": call.command, "jax": jax.__version__}, indent=2)
    (out / "settings.json").write_text(note + "\n")
    with progress_bar() as progress:
        audits = audits_of(Stage(audit, progress, settings), config, hparams)
        if call.flags.tune:
            audit_tuning(Stage(audit, progress, settings), config, hparams)
            call.console.print(f"a table and a plot: {out}", markup=False)
            return
        for role in call.flags.roles:
            audits[role]()
        if settings.learned:
            audit_learned(Stage(audit, progress, settings), config, hparams, call.flags.roles)
    audit.finish()
    plot_gains(audit, out / "gains.png")
    call.console.print(audit.text(), markup=False, soft_wrap=True)
    call.console.print(f"tables and a plot: {out}", markup=False)


def check_flags(values: Any, spec: Spec) -> None:
    """Raises ValueError for a role, a strategy or a size of coalition that there is not."""
    for flag in ("roles", "strategies", "crowd"):
        if not values[flag].value:
            raise ValueError(f"--{flag} names nothing")
    for role in values.roles:
        lookup(dict.fromkeys([*ROLES, *MORE_ROLES]), role, "role")
    for name in values.measures:
        lookup(CONTRIBUTIONS, name, "measure of work")
    for name in strategies_of(values, spec):
        lookup(STRATEGIES if spec.unit_slots else known(), name, "seller strategy")
    seller_strategies(tuple(values.crowd))
    for size in values.coalitions:
        if not size.isdecimal() or not 1 < int(size) <= spec.num_sellers:
            raise ValueError(
                f"a coalition of sellers has 2 to {spec.num_sellers} members, not {size!r}"
            )
    if spec.unit_slots and (values.tune or "effort" in values.roles):
        raise ValueError(
            "--roles=effort and --tune play sellers with accounts of their own: set spec.selling "
            "to accounts, or leave them out"
        )


def strategies_of(values: Any, spec: Spec) -> list[str]:
    """What a seller may do: as the flag says, or all that there is where units sell."""
    if spec.unit_slots and values["strategies"].using_default_value:
        return [name for name in STRATEGIES if name != HONEST]
    return list(values.strategies)


def settings_of(values: Any, spec: Spec) -> Settings:
    """The flags as an audit reads them."""
    chosen = {name: values[name].value for name in Settings._fields}
    chosen["strategies"] = strategies_of(values, spec)
    chosen["data_dir"] = paths.optional(values.data_dir)
    chosen["coalitions"] = [int(size) for size in values.coalitions]
    return Settings(**chosen)


def audits_of(stage: Stage, config: Config, hparams: HParams) -> dict[str, Callable[[], None]]:
    """The audit of every role, to be called."""
    sells = audit_units if config.spec.unit_slots else audit_markets
    return {
        "buyer": lambda: audit_buyers(stage, hparams),
        "node": lambda: audit_nodes(stage, config.spec, hparams),
        "coalition": lambda: audit_coalitions(stage, config.spec, hparams),
        "seller": lambda: sells(stage, config, hparams),
        "effort": lambda: audit_effort(stage, config, hparams),
        "watcher": lambda: audit_watchers(stage, config.spec.num_rounds),
    }


def progress_bar() -> Progress:
    """A line per game, on standard error."""
    screen = console.make(stderr=True)
    columns = (TextColumn("{task.description:<10}"), console.bar(screen), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), console=screen)
