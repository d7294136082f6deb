"""The next character of Shakespeare: every seller is a role, as the plays have it.

python -m examples.next_character --data_dir=DIR     (DIR/shakespeare holds input.txt)
"""

import jax
from absl import app, flags

from d2m_jax import HParams, Spec, make_market
from d2m_jax.config.hparams import Learning
from d2m_jax.data import build, load


def main(data_dir: str | None = None, num_rounds: int = 400, max_train: int | None = None) -> float:
    plays = load("shakespeare", data_dir)
    data = build(plays, num_sellers=99, partition="clients", max_train=max_train)
    spec = Spec(model="char_lstm", num_sellers=99, num_sampled=10, batch_size=16,
                num_rounds=num_rounds, eval_every=num_rounds)  # fmt: skip
    market = make_market(spec, plays)
    hparams = HParams(tau=0.4, learning=Learning(lr=1.0, momentum=0.9))
    outcome = jax.jit(market.run)(jax.random.key(0), market.numbers(hparams), data)
    print("share of characters told right", outcome.test_metric)
    return float(outcome.test_metric)


if __name__ == "__main__":
    DATA_DIR = flags.DEFINE_string("data_dir", None, "folder that holds the files")
    app.run(lambda argv: main(DATA_DIR.value) and None)
