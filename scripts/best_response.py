"""Does honesty pay? Every deviation of every role, played in the same worlds as honesty.

    python scripts/best_response.py --config=configs/digits.py --out=docs/audit

For each strategy of a buyer, node and seller, and for coalitions of nodes: U(s) - U(honest) with
simultaneous confidence intervals, given honest others and given random others (a random share of
them misbehaves, each in a random way). Then what it takes to deter those that pay, solved for on
the simulated payoffs and by the closed conditions. The configuration's own bad parties are not
there.
"""

import functools
import json
import pathlib
import sys
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from ml_collections import config_flags
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from d2m_jax import cone, deviations, games, parse_config, validate
from d2m_jax import ledger as books
from d2m_jax.attacks import ATTACKS
from d2m_jax.cone import Behaviour
from d2m_jax.hparams import HParams
from d2m_jax.incentives import EXECUTION_COST, TRAINING_COST
from d2m_jax.incentives import best_response as br
from d2m_jax.names import lookup
from d2m_jax.population import Population
from d2m_jax.profiles import OTHERS
from d2m_jax.report.audit import Audit, markdown
from d2m_jax.strategies import seller_strategies
from scripts.market_audit import audit_markets, keys_of

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
flags.DEFINE_list("coalitions", ["6"], "sizes of coalitions of sellers")
flags.DEFINE_integer("worlds", 16, "seeds of whole markets", lower_bound=2)
flags.DEFINE_integer("votes", 1000, "seeds of auctions and votes", lower_bound=2)
flags.DEFINE_integer("batch", 16, "markets run side by side", lower_bound=1)
flags.DEFINE_float("confidence", 0.95, "of all intervals of a table row together", 0.5, 0.9999)
flags.DEFINE_float("tolerance", 0.02, "ties: this share of the honest utility", 0.0, 1.0)
flags.DEFINE_float(
    "training_cost", TRAINING_COST, "units per round that honest training costs", 0.0
)
flags.DEFINE_float("execution_cost", EXECUTION_COST, "units that an execution costs a node", 0.0)
flags.DEFINE_float("outside_gain", 200_000.0, "units that spoiling is worth outside", 0.0)

NODE_STRATEGIES = {
    "honest": Behaviour.HONEST,
    "collude": Behaviour.COLLUDE,
    "random digest": Behaviour.LONE_LIAR,
    "silent": Behaviour.SILENT,
    "copy": Behaviour.COPY,
    "adaptive": Behaviour.ADAPTIVE,
}
BIDS = (1.0, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 1.05, 1.1, 1.2, 1.3, 1.5)


def audit_buyers(audit: Audit, progress: Progress, hparams: HParams) -> None:
    """Bid multipliers in the market's own auction and in a sealed first-price one."""
    bids = jnp.asarray([round(10_000 * bid) for bid in BIDS], jnp.int32)
    names = ["truthful", *(f"bids {bid:g} v" for bid in BIDS[1:])]
    count, top = len(hparams.money.buyer_values), max(hparams.money.buyer_values)
    auctions = {
        "buyer, the market's auction": (hparams.rules, False, 20),
        "buyer, sealed first price": (
            {**hparams.rules, "second_price": 0, "min_increment_bps": 0, "reserve": 1},
            True,
            1,
        ),
    }
    for game, (terms, jump, blocks) in progress.track(auctions.items(), description="bids"):
        rules = books.make_rules(**terms)

        def utility(bid, key, others, rules=rules, jump=jump, blocks=blocks):
            value_key, order_key, other_key = jax.random.split(key, 3)
            values = jax.random.randint(value_key, (count,), 1, top)
            wild = jax.random.randint(other_key, (count,), 5_000, 15_001)
            limits = jnp.where(others, wild, 10_000).at[0].set(bid)
            return games.auction_game(
                order_key, values, limits, rules, num_blocks=blocks, jump=jump
            )[0]

        run = jax.jit(jax.vmap(jax.vmap(utility, (None, 0, None)), (0, None, None)))
        keys = keys_of(FLAGS.votes, 1)
        audit.add(game, names, {o: np.asarray(run(bids, keys, o == "random")) for o in OTHERS})


def vote_runner(spec, hparams: HParams, rules: books.Rules, num_rounds: int) -> Callable:
    """(behaviour [C], stake, key) -> NodeGame with the market's own vote, jitted over seeds."""
    options = {
        "schedule": spec.set_schedule,
        "stop_rule": spec.stop_rule,
        "sortition": spec.sortition,
        "rice": spec.rice,
    }
    vigilance = hparams.conduct.vigilance

    def one(behaviour, stake, key):
        return games.node_game(
            key, behaviour, hparams.cone, rules, stake, vigilance,
            num_rounds=num_rounds, price=max(hparams.money.buyer_values), options=options,
        )  # fmt: skip

    return jax.jit(jax.vmap(one, (0, None, 0)))


def audit_nodes(audit: Audit, progress: Progress, spec, hparams: HParams) -> None:
    """One node deviates for a whole job."""
    rounds, seeds = spec.num_rounds + 1, FLAGS.votes
    rules = books.make_rules(**{**hparams.rules, "num_rounds": rounds})
    run = vote_runner(spec, hparams, rules, rounds)
    keys = keys_of(seeds, 2)
    bad = jnp.asarray(list(NODE_STRATEGIES.values())[1:], jnp.int32)
    profiles = {
        "honest": jnp.zeros((seeds, spec.num_nodes), jnp.int32),
        "random": jax.vmap(lambda key: deviations.random_others(key, spec.num_nodes, bad))(
            keys_of(seeds, 3)
        ),
    }
    table = {others: [] for others in OTHERS}
    cells = [(others, code) for others in OTHERS for code in NODE_STRATEGIES.values()]
    for others, code in progress.track(cells, description="nodes"):
        game = run(profiles[others].at[:, 0].set(int(code)), hparams.money.node_stake, keys)
        work = np.asarray(game.executed[:, 0])
        table[others].append(np.asarray(game.money[:, 0]) - FLAGS.execution_cost * work)
    audit.add("node, whole job", list(NODE_STRATEGIES), {o: np.stack(t) for o, t in table.items()})


def audit_coalitions(audit: Audit, progress: Progress, spec, hparams: HParams) -> None:
    """k nodes collude, all others honest or random; and the stake that deters them."""
    rounds, seeds = spec.num_rounds + 1, min(FLAGS.votes, 200)
    rules = books.make_rules(**{**hparams.rules, "num_rounds": rounds, "node_stake": 1})
    run = vote_runner(spec, hparams, rules, rounds)
    keys, nodes, stake = keys_of(seeds, 4), spec.num_nodes, hparams.money.node_stake
    sizes = sorted(
        {max(1, round(nodes * share)) for share in (0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55)}
    )
    bad = jnp.asarray(list(NODE_STRATEGIES.values())[1:], jnp.int32)
    wild = jax.vmap(lambda key: deviations.random_others(key, nodes, bad))(keys_of(seeds, 5))
    for size in progress.track(sizes, description="coalitions"):
        member = jnp.arange(nodes) < size

        def worth(code, others, gain, stake, member=member, size=size):
            start = wild if others == "random" else jnp.zeros_like(wild)
            game = run(jnp.where(member, code, start).astype(jnp.int32), stake, keys)
            paid = game.money - FLAGS.execution_cost * game.executed
            inside = jnp.where(member, paid + gain / size * (game.wins > 0), 0.0)
            return np.asarray(inside.sum(1) / size, np.float64)

        for gain in (0.0, FLAGS.outside_gain):
            table = {
                o: np.stack([worth(c, o, gain, stake) for c in (0, Behaviour.COLLUDE)])
                for o in OTHERS
            }
            game = f"coalition of {size} of {nodes} nodes" + (f", G = {gain:,.0f}" if gain else "")
            audit.add(game, ["honest", "collude"], table)
    repair_votes(audit, progress)


def repair_votes(audit: Audit, progress: Progress) -> None:
    """Stake that deters collusion in one vote of 3 of 24, where everything is known exactly."""
    from scipy.stats import hypergeom

    rules = books.make_rules(num_rounds=2, node_stake=1, reward_cap=1_000)
    keys, pool, scale = keys_of(4 * FLAGS.votes, 6), 24, 100_000

    @functools.partial(jax.jit, static_argnums=0)
    def run(size, code, stake):
        member = jnp.arange(pool) < size
        behaviour = jnp.where(member, code, 0).astype(jnp.int32)

        def one(key):
            game = games.node_game(
                key, behaviour, cone.ConeParams(size=3), rules, stake, 0.0,
                num_rounds=1, options={"schedule": "fixed", "stop_rule": "majority_last"},
            )  # fmt: skip
            worth = game.money - FLAGS.execution_cost * game.executed
            worth += FLAGS.outside_gain / 10 * game.wins
            return jnp.where(member, worth, 0.0).sum()

        return jax.vmap(one)(keys)

    for size in progress.track((2, 4, 6, 8), description="stakes"):
        seats, drawn = hypergeom(pool, size, 3), np.arange(4)
        error = (drawn * seats.pmf(drawn) * (drawn >= 2)).sum() / seats.mean()
        closed = br.node_stake_bound(error, 1_000, FLAGS.outside_gain / 10, FLAGS.execution_cost)
        gap = [
            np.asarray(run(size, Behaviour.COLLUDE, at)) - np.asarray(run(size, 0, at))
            for at in (1, scale)
        ]
        solved = br.break_even(*gap, scale - 1, FLAGS.confidence)
        audit.repair(f"{size} of 24 collude, one set of 3", "node stake", solved, closed)


def check_flags(num_sellers: int) -> None:
    """Raises ValueError for a role, a strategy or a size of coalition that there is not."""
    for role in FLAGS.roles:
        lookup(dict.fromkeys(ROLES), role, "role")
    for name in FLAGS.strategies:
        if name not in ATTACKS:
            seller_strategies((name,))
    for size in FLAGS.coalitions:
        if not size.isdigit() or not 1 < int(size) <= num_sellers:
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
    except ValueError as error:
        sys.exit(f"error: {error}")
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else 140)
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        audit = Audit(FLAGS.confidence, FLAGS.tolerance)
        audits = {
            "buyer": lambda: audit_buyers(audit, progress, hparams),
            "node": lambda: audit_nodes(audit, progress, spec, hparams),
            "coalition": lambda: audit_coalitions(audit, progress, spec, hparams),
            "seller": lambda: audit_markets(audit, progress, config, hparams),
        }
        for role in FLAGS.roles:
            audits[role]()
            text = write(audit, out)  # what is done is kept if the rest is interrupted
    console.print(text, markup=False, soft_wrap=True)
    console.print(f"tables: {out}")


def write(audit: Audit, out: pathlib.Path) -> str:
    """Writes all tables and how they were made; returns them as Markdown."""
    command = " ".join(["python", "scripts/best_response.py", *sys.argv[1:]])
    parts = [f"Made by `{command}`; amounts are units, intervals hold at {FLAGS.confidence:.0%}.\n"]
    for name, table in audit.tables().items():
        table.to_csv(out / f"{name}.csv", index=False)
        if len(table):
            parts.append(f"## {name.capitalize()}\n\n{markdown(table)}")
    text = "\n".join(parts)
    (out / "audit.md").write_text(text)
    settings = {"command": command, "jax": jax.__version__}
    (out / "settings.json").write_text(json.dumps(settings, indent=2) + "\n")
    return text


if __name__ == "__main__":
    app.run(main)
