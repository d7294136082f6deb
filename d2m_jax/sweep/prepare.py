"""A group with its data, ready to be compiled and run; what is wrong with single runs is set apart.

Read next: `runner.py`.
"""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from d2m_jax import tasks
from d2m_jax.config.spec import Spec
from d2m_jax.data import Dataset
from d2m_jax.ledger import Layout
from d2m_jax.market.parts import layout_of
from d2m_jax.market.validation import check_market
from d2m_jax.sweep.batch import Dealer, stack_hparams
from d2m_jax.sweep.chunks import first_width
from d2m_jax.sweep.plan import Group, Picks, Run, picks_of
from d2m_jax.sweep.program import Program, Shape, Worlds, compile_program, functions, share
from d2m_jax.tasks import Task


class Failure(NamedTuple):
    """Runs that could not be run, and why."""

    runs: list[Run]
    reason: str


class Ready(NamedTuple):
    """A group with its data dealt."""

    group: Group
    mesh: Mesh
    dealer: Dealer
    shared: Any  # data of all worlds, on the devices
    task: Task

    @property
    def layout(self) -> Layout:
        """Accounts of the group's ledgers."""
        return layout_of(self.group.spec)

    def shape(self, width: int) -> Shape:
        """What the program of the group is compiled for."""
        rules, attacks, stop_rules, payments = self.group.picks
        return Shape(self.group.spec, self.task, rules, attacks, width, stop_rules, payments)

    def worlds(self, runs: Sequence[Run]) -> Worlds:
        """These runs as the input of the program."""
        configs, group = [run.config for run in runs], self.group
        return Worlds(
            seed=np.array([config.seed for config in configs], np.uint32),
            hparams=stack_hparams(configs, group.picks),
            data=self.dealer.stack(configs),
        )


def prepare(group: Group, dataset: Dataset, mesh: Mesh) -> tuple[Ready | None, list[Failure]]:
    """Makes the task and deals the data of all runs of a group; what does not fit has failed.

    Returns:
        The group without the runs that failed (None if nobody is left), and the failures.
    """
    spec, dealer = group.spec, Dealer(dataset)
    good: list[Run] = []
    failures: list[Failure] = []
    try:
        task = tasks.make_task(spec.model, dataset, spec.metric)
    except ValueError as error:
        return None, [Failure(group.runs, first_line(error))]
    unfit = refusals(group, task)
    for run in group.runs:
        try:
            if why := unfit.get(run.config.spec):
                raise ValueError(why)
            dealer.deal(run.config)
            good.append(run)
        except ValueError as error:
            failures.append(Failure([run], first_line(error)))
    if not good:
        return None, failures
    shared = share(mesh, dealer.shared)
    return Ready(among(group, good), mesh, dealer, shared, task), failures


def refusals(group: Group, task: Task) -> dict[Spec, str]:
    """The specs of a group that make no market of the task, and why."""
    reasons = {}
    for spec in {run.config.spec for run in group.runs}:
        try:
            check_market(spec, task)
        except ValueError as error:
            reasons[spec] = str(error)
    return reasons


def among(group: Group, runs: list[Run]) -> Group:
    """The group of these runs only, with what they choose from."""
    return group._replace(runs=runs, picks=picks_of(runs))


def choose_width(ready: Ready) -> int:
    """W for a group, from its sizes only: what is left to do after a resume does not matter."""
    largest = max(len(cell) for cell in ready.group.cells.values())
    return first_width(ready.group.spec.num_sampled, tasks.flatten(ready.task).num_params, largest)


def compile_group(ready: Ready, width: int) -> Program:
    """The program of a group at width W.

    Raises:
        ValueError: what a room refuses while it is traced; see `culprits`.
    """
    example = ready.worlds([ready.group.runs[0]] * (width * ready.mesh.size))
    return compile_program(ready.shape(width), ready.mesh, example, ready.shared)


def culprits(ready: Ready, error: Exception) -> tuple[Ready | None, list[Failure]]:
    """After a refusal while tracing: the cells of the plan that it comes from, set apart.

    Every cell is traced alone; when none of them is refused alone, all runs have failed.
    """
    good, failures = [], []
    for runs in ready.group.cells.values():
        alone = ready._replace(group=among(ready.group, runs))
        try:
            trace(alone)
            good += runs
        except (ValueError, TypeError) as reason:
            failures.append(Failure(runs, first_line(reason)))
    if not failures:
        return None, [Failure(ready.group.runs, first_line(error))]
    return (ready._replace(group=among(ready.group, good)) if good else None), failures


def trace(ready: Ready) -> None:
    """Traces the functions of a group without compiling them."""
    init, rounds, _ = functions(ready.shape(1), ready.mesh)
    choice = np.zeros((ready.mesh.size, len(Picks._fields)), np.int32)
    worlds = ready.worlds(ready.group.runs[:1] * ready.mesh.size)
    state = jax.eval_shape(init, choice, worlds, ready.shared)
    jax.eval_shape(rounds, choice, (worlds, state), ready.shared)


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def fits(program: Program, workers: int) -> bool:
    """Whether the chunks of all workers fit in memory, as far as it is known."""
    device = program.mesh.devices.flat[0]
    limit = (device.memory_stats() or {}).get("bytes_limit", 0)
    if device.platform == "cpu" and hasattr(os, "sysconf"):
        limit = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # not what is free now
        workers *= program.mesh.size
    return not limit or workers * program.memory < 0.7 * limit
