"""Short texts by class: TREC's questions, with attackers that flip labels.

python -m examples.texts --data_dir=DIR     (DIR/trec holds the two files)
"""

import jax
from absl import app, flags

from d2m_jax import HParams, Spec, make_market
from d2m_jax.config.hparams import Learning
from d2m_jax.config.population import Population
from d2m_jax.data import build, load


def main(data_dir: str | None = None, num_rounds: int = 200) -> float:
    trec = load("trec", data_dir)
    data = build(trec, num_sellers=20, partition="dirichlet", alpha=0.5)
    spec = Spec(model="text_bow", attack="label_flip", num_rounds=num_rounds, eval_every=num_rounds)
    market = make_market(spec, trec)
    people = Population(num_byzantine=6)
    hparams = HParams(tau=0.7, population=people, learning=Learning(lr=1.0, momentum=0.9))
    outcome = jax.jit(market.run)(jax.random.key(0), market.numbers(hparams), data)
    print("test accuracy", outcome.test_metric)
    return float(outcome.test_metric)


if __name__ == "__main__":
    DATA_DIR = flags.DEFINE_string("data_dir", None, "folder that holds the files")
    app.run(lambda argv: main(DATA_DIR.value) and None)
