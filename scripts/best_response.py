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

from d2m_jax import as_arrays, cone, deviations, games, make_market, parse_config, validate
from d2m_jax import ledger as books
from d2m_jax.cone import Behaviour
from d2m_jax.hparams import HParams
from d2m_jax.incentives import best_response as br
from d2m_jax.population import Population
from d2m_jax.report.audit import Audit, markdown
from d2m_jax.world import load_world

CONFIG = config_flags.DEFINE_config_file("config", "configs/digits.py", "the market")
FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "folder of the official data archives")
flags.DEFINE_string("out", "results/best_response", "folder of the tables")
flags.DEFINE_list("roles", ["buyer", "node", "coalition", "seller"], "which audits to run")
flags.DEFINE_list(
    "strategies",
    [
        *("half_effort", "free_rider_zero", "free_rider_replay", "mimic", "gaussian"),
        *("label_flip", "relabel_random", "sign_flip", "norm_inflation", "alie", "ipm", "nan"),
    ],
    "what a seller may do: half_effort or names of attacks",
)
flags.DEFINE_integer("worlds", 16, "seeds of whole markets", lower_bound=2)
flags.DEFINE_integer("votes", 1000, "seeds of auctions and votes", lower_bound=2)
flags.DEFINE_integer("batch", 16, "markets run side by side", lower_bound=1)
flags.DEFINE_float("confidence", 0.95, "of all intervals of a table row together", 0.5, 0.9999)
flags.DEFINE_float("tolerance", 0.02, "ties: this share of the honest utility", 0.0, 1.0)
flags.DEFINE_float("training_cost", 100.0, "units per round that honest training costs", 0.0)
flags.DEFINE_float("execution_cost", 20.0, "units that an execution costs a node", 0.0)
flags.DEFINE_float("outside_gain", 200_000.0, "units that spoiling is worth outside", 0.0)

OTHERS = ("honest", "random")
NODE_STRATEGIES = {
    "honest": Behaviour.HONEST,
    "collude": Behaviour.COLLUDE,
    "random digest": Behaviour.LONE_LIAR,
    "silent": Behaviour.SILENT,
    "copy": Behaviour.COPY,
    "adaptive": Behaviour.ADAPTIVE,
}
BIDS = (1.0, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 1.05, 1.1, 1.2, 1.3, 1.5)


def keys_of(count: int, salt: int) -> jax.Array:
    return jax.random.split(jax.random.key(salt), count)


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


def audit_sellers(audit: Audit, progress: Progress, spec, hparams: HParams) -> None:
    """One seller deviates, or splits, or copies; one buyer misuses the verification."""
    asked = [name for name in FLAGS.strategies if name != "false_size"]
    strategies = deviations.seller_strategies((*asked, "false_size"))
    raw, data = load_world(parse_config(CONFIG.value).data, spec.num_sellers, FLAGS.data_dir)
    market = make_market(
        spec, raw.train_images.shape[1:], len(raw.class_names),
        attack=deviations.repertoire(strategies),
    )  # fmt: skip
    typed = as_arrays(HParams(**{**vars(hparams), "attack": {"strategy": 0.0}, "tolerated_f": 1}))
    run = jax.jit(
        jax.vmap(functools.partial(deviations.market_game, market), in_axes=(0, 0, None, None))
    )
    seeds, num = FLAGS.worlds, spec.num_sellers
    base = deviations.honest_play(market, typed, data)
    liar = list(strategies).index("false_size")  # the last: others never lie about sizes
    codes = jnp.arange(1, liar, dtype=jnp.int32)
    me = jax.vmap(lambda key: jax.random.randint(key, (), 0, num))(keys_of(seeds, 7))
    wild = jax.vmap(lambda key: deviations.random_others(key, num, codes))(keys_of(seeds, 8))
    names = list(strategies)[:liar]
    plays: dict[tuple[str, str], list[deviations.Play]] = {}

    def profile(k: int, others: str) -> jax.Array:
        return wild[k] if others == "random" else jnp.zeros(num, jnp.int32)

    for others in OTHERS:
        for code, name in enumerate(names):
            plays[name, others] = [
                base._replace(sellers=profile(k, others).at[me[k]].set(code)) for k in range(seeds)
            ]
        plays["claims 5x its size", others] = [
            base._replace(
                sellers=profile(k, others).at[me[k]].set(liar),
                size_lie_bps=jnp.full(num, 10_000).at[me[k]].set(50_000),
            )
            for k in range(seeds)
        ]
        for name in ("one account", "split in two", "copied data"):
            plays[name, others] = [
                sybil(base, profile(k, others), int(me[k]), name) for k in range(seeds)
            ]
    for name, change in {
        "buyer honest": {},
        "false dispute": {"false_dispute": jnp.float32(1)},
        "mislabelled verdict examples": {"wrong_labels": jnp.int32(1)},
    }.items():
        plays[name, "honest"] = [base._replace(**change)] * seeds
    # with and without a deposit: the deterrent of a seller that poisons its labels
    worst = "label_flip" if "label_flip" in names else names[-1]
    for name in ("honest", worst):
        plays[name, "no deposit"] = [
            p._replace(deposit=jnp.int32(0)) for p in plays[name, "honest"]
        ]
    plays = {
        cell: [p._replace(size_lie_bps=jnp.broadcast_to(p.size_lie_bps, (num,))) for p in profiles]
        for cell, profiles in plays.items()
    }

    flat = [(cell, k) for cell, profiles in plays.items() for k in range(len(profiles))]
    batches = [flat[i : i + FLAGS.batch] for i in range(0, len(flat), FLAGS.batch)]
    keys, paid = keys_of(seeds, 9), {}
    for batch in progress.track(batches, description="markets"):
        full = (batch + [batch[-1]] * FLAGS.batch)[: FLAGS.batch]
        stacked = jax.tree.map(lambda *x: jnp.stack(x), *[plays[cell][k] for cell, k in full])
        ks = jnp.asarray([k for _, k in full])
        result = jax.device_get(run(keys[ks], stacked, typed, data))
        for i, (cell, k) in enumerate(batch):
            paid[cell, k] = jax.tree.map(lambda x, i=i: x[i], result)

    def utility(name: str, others: str, accounts: int = 1) -> np.ndarray:
        total = []
        for k in range(seeds):
            game, mine = paid[(name, others), k], [int(me[k]), (int(me[k]) + 1) % num][:accounts]
            work = deviations.EFFORT.get(name, 1.0) * game.rounds[mine].sum()
            total.append(game.sellers[mine].sum() - FLAGS.training_cost * work)
        return np.asarray(total, np.float64)

    names = [*names, "claims 5x its size"]
    table = {o: np.stack([utility(n, o) for n in names]) for o in OTHERS}
    audit.add("seller, whole market", names, table)
    names = ["one account", "split in two", "copied data"]
    table = {o: np.stack([utility(n, o, 2) for n in names]) for o in OTHERS}
    audit.add("seller with two accounts", names, table)

    def bought(name: str) -> np.ndarray:
        ended = [paid[(name, "honest"), k] for k in range(seeds)]
        worth = np.asarray(hparams.money.buyer_values)
        return np.asarray(
            [g.buyers[g.winner] + worth[g.winner] * bool(g.settled) for g in ended], np.float64
        )

    names = ["buyer honest", "false dispute", "mislabelled verdict examples"]
    table = np.stack([bought(n) for n in names])
    audit.add("buyer, verification", names, {"honest": table})

    def played(cell: tuple[str, str]) -> list:
        return [paid[cell, k] for k in range(seeds)]

    # deposit D at which the worst strategy with outside gain G stops to pay
    gain = FLAGS.outside_gain
    caught = np.array([g.slashed[int(m)] for g, m in zip(played((worst, "honest")), me)])
    free = utility(worst, "no deposit") + gain * ~caught
    gap = [
        free - utility("honest", "no deposit"),
        utility(worst, "honest") + gain * ~caught - utility("honest", "honest"),
    ]
    deposit = int(hparams.rules["seller_deposit"])
    solved = br.break_even(*gap, deposit, FLAGS.confidence)
    if caught.mean() > 0:
        cost = FLAGS.training_cost * np.mean(
            [g.rounds[int(m)] for g, m in zip(played(("honest", "honest")), me)]
        ) - FLAGS.training_cost * np.mean(
            [g.rounds[int(m)] for g, m in zip(played((worst, "honest")), me)]
        )
        pay = utility("honest", "no deposit").mean() + cost
        missed = free[~caught].mean() - gain if (~caught).any() else 0.0
        closed = br.seller_deposit_bound(caught.mean(), pay, missed, gain, cost)
        audit.repair(f"seller, {worst}, G = {gain:,.0f}", "seller deposit", solved, closed)
        least = br.detection_bound(deposit, pay, missed, gain, cost)
        audit.repairs.append(
            {
                "game": f"seller, {worst}, G = {gain:,.0f}, deposit {deposit:,}",
                "parameter": f"detection rate (measured {caught.mean():.2f})",
                "closed form": least,
            }
        )


def sybil(base: deviations.Play, others: jax.Array, me: int, how: str) -> deviations.Play:
    """The seller `me` owns the next account too, and uses it or not."""
    second = (me + 1) % base.sizes.shape[0]
    size, rows = base.sizes[me], base.rows[me]
    half = size // 2
    sizes = {
        "one account": (size, 0),
        "split in two": (half, size - half),
        "copied data": (size, size),
    }[how]
    later = jnp.roll(rows, -half) if how == "split in two" else rows
    return base._replace(
        sellers=others.at[jnp.array([me, second])].set(0),
        rows=base.rows.at[second].set(later),
        sizes=base.sizes.at[me].set(sizes[0]).at[second].set(sizes[1]),
    )


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}; flags start with --")
    try:
        config = parse_config(CONFIG.value)
        spec = config.spec
        hparams = HParams(**{**vars(config.hparams), "population": Population()})
        validate(spec, hparams, config.data)
        deviations.seller_strategies(tuple(FLAGS.strategies))
    except ValueError as error:
        sys.exit(f"error: {error}")
    unknown = set(FLAGS.roles) - {"buyer", "node", "coalition", "seller"}
    if unknown:
        sys.exit(f"error: unknown role {unknown.pop()!r}; valid: buyer, node, coalition, seller")
    out = pathlib.Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    console = Console(width=None if sys.stdout.isatty() else 140)
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        audit = Audit(FLAGS.confidence, FLAGS.tolerance)
        if "buyer" in FLAGS.roles:
            audit_buyers(audit, progress, hparams)
        if "node" in FLAGS.roles:
            audit_nodes(audit, progress, spec, hparams)
        if "coalition" in FLAGS.roles:
            audit_coalitions(audit, progress, spec, hparams)
            repair_votes(audit, progress)
        if "seller" in FLAGS.roles:
            audit_sellers(audit, progress, spec, hparams)
    tables = audit.tables()
    command = " ".join(["python", "scripts/best_response.py", *sys.argv[1:]])
    text = [f"Made by `{command}`; amounts are units, intervals hold at {FLAGS.confidence:.0%}.\n"]
    for name, table in tables.items():
        table.to_csv(out / f"{name}.csv", index=False)
        if len(table):
            text.append(f"## {name.capitalize()}\n\n{markdown(table)}")
    (out / "audit.md").write_text("\n".join(text))
    (out / "settings.json").write_text(
        json.dumps({"command": command, "jax": jax.__version__}, indent=2) + "\n"
    )
    console.print("\n".join(text), markup=False, soft_wrap=True)
    console.print(f"tables: {out}")


if __name__ == "__main__":
    app.run(main)
