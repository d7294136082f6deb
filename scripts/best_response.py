"""Does honesty pay? Every deviation of every role, played in the same worlds as honesty.

    python scripts/best_response.py --config=configs/digits.py --out=docs/audit

For each strategy of a buyer, node and seller, and for coalitions of nodes: U(s) - U(honest) with
simultaneous confidence intervals, given honest others and given random others (a random share of
them misbehaves, each in a random way). Then what it takes to deter those that pay, solved for on
the simulated payoffs and by the closed conditions. The configuration's own bad parties are not
there. Killed, the same command goes on after the last game that had ended.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax
from absl import app, flags, logging
from ml_collections import config_flags
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from d2m_jax import parse_config, validate
from d2m_jax.attacks import ATTACKS
from d2m_jax.audit.strategies import known, seller_strategies
from d2m_jax.config.hparams import HParams
from d2m_jax.config.parsing import to_dict
from d2m_jax.config.population import Population
from d2m_jax.core.choices import lookup
from d2m_jax.incentives import EXECUTION_COST, TRAINING_COST
from d2m_jax.report.audit import Audit
from d2m_jax.report.gains import plot_gains
from scripts.market_audit import audit_markets
from scripts.vote_audit import audit_buyers, audit_coalitions, audit_nodes

ROLES = ["buyer", "node", "coalition", "seller"]
CONFIG = config_flags.DEFINE_config_file("config", "configs/digits.py", "the market")
FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "folder of the official data archives")
flags.DEFINE_string("out", "results/best_response", "folder of the tables")
flags.DEFINE_list("roles", ROLES, "which audits to run")
flags.DEFINE_list(
    "strategies",
    ["half_effort", *(name for name in ATTACKS if name != "none")],
    "what a seller may do: half_effort or names of attacks; by default every attack",
)
flags.DEFINE_list(
    "crowd",
    ["half_effort", "free_rider_zero", "free_rider_replay", "mimic", "gaussian", "label_flip",
     "relabel_random", "sign_flip", "norm_inflation", "alie", "ipm"],
    "what the random others do: names as for --strategies, but none that search or remember",
)  # fmt: skip
flags.DEFINE_list("coalitions", ["6"], "sizes of coalitions of sellers")
flags.DEFINE_integer("worlds", 16, "seeds of whole markets", lower_bound=2)
flags.DEFINE_integer(
    "more_worlds", 128, "the same where a threshold or a close call is decided", lower_bound=2
)
flags.DEFINE_integer("votes", 1000, "seeds of auctions and votes", lower_bound=2)
flags.DEFINE_integer("batch", 16, "markets run side by side", lower_bound=1)
flags.DEFINE_float("confidence", 0.95, "of all intervals of a table row together", 0.5, 0.9999)
flags.DEFINE_float("tolerance", 0.02, "ties: this share of what honesty earns there", 0.0, 1.0)
flags.DEFINE_float(
    "training_cost", TRAINING_COST, "units per round that honest training costs", 0.0
)
flags.DEFINE_float("execution_cost", EXECUTION_COST, "units that an execution costs a node", 0.0)
flags.DEFINE_float("outside_gain", 200_000.0, "units that spoiling is worth outside", 0.0)
SETTINGS = (  # with the configuration all that the rows depend on
    "data_dir", "strategies", "crowd", "coalitions", "worlds", "more_worlds", "votes", "batch",
    "confidence", "tolerance", "training_cost", "execution_cost", "outside_gain",
)  # fmt: skip


def check_flags(num_sellers: int) -> None:
    """Raises ValueError for a role, a strategy or a size of coalition that there is not."""
    for flag in ("roles", "strategies", "crowd"):
        if not FLAGS[flag].value:
            raise ValueError(f"--{flag} names nothing")
    for role in FLAGS.roles:
        lookup(dict.fromkeys(ROLES), role, "role")
    for name in FLAGS.strategies:
        lookup(known(), name, "seller strategy")
    seller_strategies(tuple(FLAGS.crowd))
    for size in FLAGS.coalitions:
        if not size.isdecimal() or not 1 < int(size) <= num_sellers:
            raise ValueError(f"a coalition of sellers has 2 to {num_sellers} members, not {size!r}")


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; flags start with --")
    try:
        config = parse_config(CONFIG.value)
        spec = config.spec
        hparams = HParams(**{**vars(config.hparams), "population": Population()})
        validate(spec, hparams, config.data)
        check_flags(spec.num_sellers)
        out = pathlib.Path(FLAGS.out)
        out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    command = " ".join(["python", "scripts/best_response.py", *sys.argv[1:]])
    header = f"Made by `{command}`; amounts are units, intervals hold at {FLAGS.confidence:.0%}.\n"
    settings = {"config": to_dict(config), **{name: FLAGS[name].value for name in SETTINGS}}
    settings = {**settings, "jax": jax.__version__}
    audit = Audit(FLAGS.confidence, FLAGS.tolerance, out, header, settings)
    note = json.dumps({"command": command, "jax": jax.__version__}, indent=2)
    (out / "settings.json").write_text(note + "\n")
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        audits = {
            "buyer": lambda: audit_buyers(audit, progress, hparams),
            "node": lambda: audit_nodes(audit, progress, spec, hparams),
            "coalition": lambda: audit_coalitions(audit, progress, spec, hparams),
            "seller": lambda: audit_markets(audit, progress, config, hparams),
        }
        for role in FLAGS.roles:
            audits[role]()
    audit.finish()
    plot_gains(audit, out / "gains.png")
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(audit.text(), markup=False, soft_wrap=True)
    console.print(f"tables and a plot: {out}")


if __name__ == "__main__":
    app.run(main)
