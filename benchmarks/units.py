"""Does an owner gain by more accounts, copies or fakes? Accounts that sell against bonded units.

    python benchmarks/units.py --worlds=96 --out=docs/audit/units.csv

In every world one owner holds its data in another way, see `d2m_jax/audit/units.py`; its income
over that of one honest account in the same world, with a 95 % interval (Fieller). Digits, ten
owners, 24 rounds; an owner's deposits are the same in sum whether it sells as an account or in
units. Some ten minutes of processor time, a third of it compilation.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import pandas as pd
from absl import app, flags

from d2m_jax import HParams, Spec, make_market
from d2m_jax.audit.units import MOST_ACCOUNTS, STRATEGIES, Worlds, play, ratio_of
from d2m_jax.config.hparams import MARKET_RULES, Conduct, Learning, Money
from d2m_jax.config.spec import DataSpec
from d2m_jax.data import load

FLAGS = flags.FLAGS
flags.DEFINE_integer("worlds", 96, "worlds of every strategy", lower_bound=2)
flags.DEFINE_integer("batch", 16, "worlds side by side", lower_bound=1)
flags.DEFINE_list("selling", ["accounts", "units"], "what is sold")
flags.DEFINE_list("strategies", list(STRATEGIES), "how the owner holds its data")
flags.DEFINE_string("contribution", "gain", "measure of a round's work; own_work needs units")
flags.DEFINE_string("partition", "iid", "how the data are dealt to the owners")
flags.DEFINE_string("out", None, "table to write")
OWNERS, UNITS, UNIT_SIZE, DEPOSIT = 10, 72, 20, 72_000  # the deposit is that of an account
OPENINGS, TOLERATED = 14, 3


def spec_of(selling: str) -> Spec:
    accounts = OWNERS if selling == "units" else OWNERS + MOST_ACCOUNTS - 1
    return Spec(
        model="logreg",
        selling=selling,
        num_sellers=accounts,
        num_units=UNITS,
        openings=OPENINGS,
        num_sampled=8,
        num_rounds=24,
        eval_every=24,
        batch_size=16,
        contribution=FLAGS.contribution if selling == "units" else "gain",
        num_buyers=2,
        num_nodes=8,
    )


def numbers_of(selling: str) -> HParams:
    each = DEPOSIT * OWNERS // (UNITS - UNITS // OWNERS + 1) if selling == "units" else DEPOSIT
    money = Money(
        buyer_values=(900_000, 700_000), buyer_shading_bps=(10_000,) * 2, seller_stake=each
    )
    rules = {**MARKET_RULES, "seller_deposit": each}
    conduct = Conduct(tolerated_openings=TOLERATED)
    learning = Learning(lr=0.3)
    return HParams(tau=0.5, learning=learning, conduct=conduct, money=money, rules=rules)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    dataset, rows = load("digits"), []
    deal = DataSpec(partition=FLAGS.partition, num_validation=200, unit_size=UNIT_SIZE)
    for selling in FLAGS.selling:
        market = make_market(spec_of(selling), dataset)
        worlds = Worlds(dataset, market, deal, FLAGS.worlds)
        played = play(worlds, FLAGS.strategies, market.numbers(numbers_of(selling)), FLAGS.batch)
        honest = played["one account"]
        for name, found in played.items():
            ratio = ratio_of(found.income, honest.income)
            row = {"selling": selling, "strategy": name, "income": found.income.mean()}
            row |= {"ratio": ratio.value, "low": ratio.low, "high": ratio.high}
            row |= {"listings": found.listings.mean(), "caught": found.caught.mean()}
            rows.append({"contribution": market.spec.contribution, **row})
            print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1), flush=True)
    if FLAGS.out:
        pd.DataFrame(rows).round(3).to_csv(FLAGS.out, index=False)


if __name__ == "__main__":
    app.run(main)
