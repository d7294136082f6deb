"""A table of one's own: columns of any type, owners in a column, a class to predict.

python -m examples.tables
"""

import jax
import numpy as np
import pandas as pd

from d2m_jax import HParams, Spec, make_market
from d2m_jax.data import build, from_frame
from d2m_jax.market import MarketOutcome, collect, compiled


def patients(count: int = 600) -> pd.DataFrame:
    """Made-up patients of eight hospitals; some ages are missing."""
    rng = np.random.default_rng(0)
    age = rng.integers(20, 90, count).astype(float)
    smokes = rng.choice(["never", "before", "now"], count)
    odds = (age - 60) / 8 + 2 * (smokes == "now") - 1
    sick = rng.random(count) < 1 / (1 + np.exp(-odds))
    age[rng.random(count) < 0.1] = np.nan
    hospital = rng.integers(0, 8, count)
    return pd.DataFrame({"age": age, "smokes": smokes, "hospital": hospital, "sick": sick})


def main(num_rounds: int = 60) -> MarketOutcome:
    dataset = from_frame(patients(), "sick", client="hospital")
    data = build(dataset, num_sellers=8, partition="clients", num_validation=100)
    spec = Spec(model="logreg", metric="balanced_accuracy", num_sellers=8, num_sampled=5,
                num_rounds=num_rounds, eval_every=num_rounds // 2)  # fmt: skip
    market = make_market(spec, dataset)
    outcome = collect(
        compiled(market),
        jax.random.key(0),
        market.numbers(HParams(tau=0.7)),
        data,
        on_chunk=[lambda chunk: print(chunk.done, "rounds", chunk.evaluation)],
    )
    print("reported metric in basis points", outcome.closing.reported_bps)
    return outcome


if __name__ == "__main__":
    main()
