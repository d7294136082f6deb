"""What the jobs of a market ask for, and which buyers bid for which of them.

Numbers that are left out follow from the spec: one job asks for `REQUEST_TAGS`, of several the j-th
for tag j; all want the same tau; buyers are dealt to the jobs in turn.
"""

import jax
import jax.numpy as jnp

from d2m_jax.config.hparams import HParams, Money
from d2m_jax.config.spec import Spec
from d2m_jax.market.bidding import Bidding
from d2m_jax.market.roles import NO_TAGS, REQUEST_TAGS
from d2m_jax.market.state import Slot


def check_requests(spec: Spec, hparams: HParams) -> None:
    """Raises a ValueError, one sentence, for requests that do not fit the jobs of a spec."""
    asked, num_jobs, who = hparams.requests, spec.num_jobs, hparams.population
    for name, count in (("tags", num_jobs), ("tau", num_jobs), ("wants", spec.num_buyers)):
        given = len(getattr(asked, name))
        if given and num_jobs == 1:
            raise ValueError(f"requests.{name} is for several jobs: spec.num_jobs is 1")
        if given not in (0, count):
            raise ValueError(f"requests.{name} has {given} entries, and {count} are asked for")
    if not all(0 < tags < NO_TAGS for tags in asked.tags) or len({*asked.tags}) < len(asked.tags):
        raise ValueError(
            f"requests.tags = {asked.tags} must be different bitmasks from 1 to {NO_TAGS - 1}: "
            "two auctions for the same tags cannot run at once"
        )
    if not all(0 < tau <= 1 for tau in asked.tau):
        raise ValueError(f"requests.tau = {asked.tau} must lie in (0, 1]")
    if not all(0 <= job < num_jobs for job in asked.wants):
        raise ValueError(f"requests.wants = {asked.wants} must name jobs from 0 to {num_jobs - 1}")
    if not 1 <= who.breadth <= num_jobs:
        raise ValueError(f"population.breadth = {who.breadth} must lie in [1, num_jobs]")


def asked_tags(spec: Spec, hparams: HParams) -> jax.Array:
    """[J] int32: the tags that each job asks for."""
    if hparams.requests.tags:
        return jnp.stack([jnp.asarray(tags, jnp.int32) for tags in hparams.requests.tags])
    if spec.num_jobs == 1:
        return jnp.full(1, REQUEST_TAGS, jnp.int32)
    return jnp.int32(1) << jnp.arange(spec.num_jobs, dtype=jnp.int32)


def asked_taus(spec: Spec, hparams: HParams) -> jax.Array:
    """[J] float32: the threshold on the metric that each job asks for."""
    taus = hparams.requests.tau or (hparams.tau,) * spec.num_jobs
    return jnp.stack([jnp.asarray(tau, jnp.float32) for tau in taus])


def wanted_jobs(spec: Spec, hparams: HParams) -> jax.Array:
    """[U] int32: the job that each buyer bids for."""
    if hparams.requests.wants:
        return jnp.stack([jnp.asarray(job, jnp.int32) for job in hparams.requests.wants])
    return jnp.arange(spec.num_buyers, dtype=jnp.int32) % spec.num_jobs


def money_for(spec: Spec, hparams: HParams, job: Slot) -> Money:
    """The money of everybody, in which the job is worth nothing to buyers that want another one."""
    if spec.num_jobs == 1:
        return hparams.money
    wanted = wanted_jobs(spec, hparams) == job
    values = jnp.where(wanted, jnp.stack(hparams.money.buyer_values), 0)
    conduct = hparams.money.buyer_conduct
    if conduct:  # whatever it does elsewhere, here it stays silent
        conduct = tuple(jnp.where(wanted, jnp.stack(conduct), Bidding.TRUTHFUL))
    money: Money = hparams.money.replace(buyer_values=tuple(values), buyer_conduct=conduct)
    return money
