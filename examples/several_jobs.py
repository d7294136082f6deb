"""Several jobs side by side: buyers of different classes of digits, one ledger, one pool of nodes.

    python -m examples.several_jobs

Every job is about three classes. Requests arrive over some epochs; in each the jobs are auctioned,
trained, verified and paid together, as one jitted program.
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import HParams, Spec, data, make_market
from d2m_jax.config.hparams import Learning, Money, Requests
from d2m_jax.config.population import Population
from d2m_jax.ledger import Phase
from d2m_jax.market import Epochs, deal_jobs, draw_roles, figures_of, serve
from d2m_jax.market.requests import asked_tags
from d2m_jax.report.job_plots import plot_queue


def main(
    num_jobs: int = 8,
    num_sellers: int = 64,
    num_nodes: int = 128,
    num_rounds: int = 40,
    num_epochs: int = 4,
    plot: str = "",
) -> Epochs:
    """Runs the queue, prints a line per job and the figures, and draws who serves whom."""
    buyers, rng = 3 * num_jobs, np.random.default_rng(0)
    spec = Spec(
        model="logreg",
        num_jobs=num_jobs,
        num_sellers=num_sellers,
        num_sampled=6,
        num_rounds=num_rounds,
        eval_every=num_rounds,
        batch_size=16,
        attack="sign_flip",
        num_buyers=buyers,
        num_nodes=num_nodes,
    )
    values = tuple(int(value) for value in rng.integers(300_000, 1_200_000, buyers))
    wants, arrives = np.arange(buyers) % num_jobs, rng.integers(0, num_epochs - 1, buyers)
    hparams = HParams(
        attack={"scale": 10.0},
        learning=Learning(lr=0.3),
        population=Population(breadth=2, num_byzantine=num_sellers // 16, num_colluding=8),
        money=Money(
            buyer_values=values,
            buyer_shading_bps=(10_000,) * buyers,
            seller_stake=100_000,  # one deposit: who fits two jobs serves one at a time
            node_stake=20_000 * num_jobs,  # a pledge to every job
            node_funds=25_000 * num_jobs,
        ),
        requests=Requests(
            tags=tuple(1 << job for job in range(num_jobs)),
            tau=tuple(float(tau) for tau in np.linspace(0.7, 0.95, num_jobs)),
            wants=tuple(int(job) for job in wants),
        ),
    )
    dataset = data.load("digits")
    market = make_market(spec, dataset)
    numbers = market.numbers(hparams)
    tags = asked_tags(spec, numbers)
    roles = draw_roles(jax.random.key(1), numbers.population, spec, tags)
    fits = np.asarray((tags[:, None] & ~roles.holds[None]) == 0)
    classes = [[(job + step) % 10 for step in range(3)] for job in range(num_jobs)]
    dealt = deal_jobs(dataset, classes, fits.T, num_validation=400)

    @jax.jit
    def run(key: jax.Array) -> tuple[Epochs, object]:
        return serve(
            market,
            key,
            numbers,
            dealt,
            jnp.asarray(arrives, jnp.int32),
            num_epochs=num_epochs,
            roles=roles,
        )

    epochs, _ = jax.device_get(run(jax.random.key(0)))
    print("epoch job classes  buyer     price sellers metric  end")
    for epoch, job in np.argwhere(epochs.buyer >= 0):
        who = epochs.matched[epoch, job].sum()
        print(
            f"{epoch + 1:5} {job:3} {classes[job]!s:9} {epochs.buyer[epoch, job]:4} "
            f"{epochs.price[epoch, job]:9,} {who:7} {epochs.metric[epoch, job]:6.3f}  "
            f"{Phase(int(epochs.phase[epoch, job])).name.lower()}"
        )
    print(figures_of(epochs, values, wants, arrives, num_nodes))
    if plot:
        plot_queue(epochs, fits, wants, pathlib.Path(plot))
    return epochs


if __name__ == "__main__":
    main(plot=sys.argv[1] if len(sys.argv) > 1 else "several_jobs.png")
