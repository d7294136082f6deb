"""The compiled program of a group: W worlds per device at once, some of its parts by index.

A world is run by three functions: `init` and `finish` run once, `rounds` R / eval_every times. On a
CPU none is compiled with full optimisation: LLVM would take longer than it ever saves. The
width W is fixed: a chunk that is not full is padded, so a run's numbers do not depend on its
company.
Read next: `runner.py`.
"""

import concurrent.futures
import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from d2m_jax.aggregation import make_aggregator
from d2m_jax.aggregation.switched import switched_aggregator
from d2m_jax.attacks.switched import switched_attack
from d2m_jax.cone.stop_rules import stop_rule_of, switched_stop_rule
from d2m_jax.config.hparams import HParams
from d2m_jax.config.spec import Spec
from d2m_jax.core.backend import QUICKEST, compile_with
from d2m_jax.core.choices import bound
from d2m_jax.core.types import PyTree
from d2m_jax.incentives.payments import switched_payment
from d2m_jax.market.defence import build_defence
from d2m_jax.market.engine import Market, market_of
from d2m_jax.market.parts import attack_of, make_parts
from d2m_jax.market.state import MarketOutcome
from d2m_jax.sweep.batch import join
from d2m_jax.sweep.plan import Assault, Picks, Rule
from d2m_jax.tasks import Task

# What runs once is compiled by `QUICKEST`, the rounds like this: they run as fast as fully
# optimised ones; without XLA's emitters of fused loops they take a seventh more (docs/speed.md).
OFTEN: Any = {"xla_backend_optimization_level": 1}


class Shape(NamedTuple):
    """What a program is compiled for, beside the group."""

    spec: Spec
    task: Task
    rules: tuple[Rule, ...]
    attacks: tuple[Assault, ...]
    width: int  # W, worlds per device
    stop_rules: tuple[Any, ...] = ()  # empty: that of the spec
    payments: tuple[Any, ...] = ()


class Program(NamedTuple):
    """Three compiled functions of `(choice, worlds, shared)` and what they cost."""

    shape: Shape
    mesh: Mesh
    init: Callable[..., Any]
    rounds: Callable[..., Any]
    finish: Callable[..., Any]
    seconds: float  # of compilation
    memory: int  # bytes per device, of the largest of the three


class Worlds(NamedTuple):
    """The part of a program's input that differs between worlds, every leaf [D W, ...]."""

    seed: Any  # uint32
    hparams: HParams
    data: dict[str, Any]


def market_for(shape: Shape, choice: jax.Array, hparams: Any) -> tuple[Market, HParams]:
    """The market whose parts are picked by `choice` [4] int32, inside a trace.

    Args:
        shape: of the program.
        choice: places of rule, attack, stop rule and payment.
        hparams: its fields of these names hold a tuple of the numbers of all of them.

    Returns:
        The market and the numbers that are left for it: those of the parts are bound.
    """
    spec = shape.spec
    parts = make_parts(spec, shape.task)
    attacks = [
        attack_of(dataclasses.replace(spec, attack=a.name, attack_options=a.options))
        for a in shape.attacks
    ]
    parts = parts._replace(attack=switched_attack(attacks, choice[1], hparams.attack))
    if spec.aggregator != "own":
        rules = [
            make_aggregator(rule.name, rule.pre, rule.preset, **own)
            for rule, own in zip(shape.rules, hparams.aggregator)
        ]
        switched = switched_aggregator(rules, choice[0])
        parts = parts._replace(defence=partial(build_defence, spec, rule=switched))
    left = hparams.replace(attack={}, aggregator={})
    if shape.stop_rules:
        stops = zip(shape.stop_rules, hparams.stop_rule)
        stop_rule = switched_stop_rule([bound(stop_rule_of(s), own) for s, own in stops], choice[2])
        parts, left = parts._replace(stop_rule=stop_rule), left.replace(stop_rule={})
    if shape.payments:
        payment = switched_payment(shape.payments, choice[3], hparams.payment)
        parts, left = parts._replace(payment=payment), left.replace(payment={})
    return market_of(parts), left


def functions(shape: Shape, mesh: Mesh) -> tuple[Callable[..., Any], ...]:
    """`init`, `rounds` and `finish` of D W worlds, not compiled.

    init(choice [D, 4], worlds, shared) -> state; rounds and finish take the state as well.
    """

    def init(choice: jax.Array, world: Worlds, shared: PyTree) -> PyTree:
        market, hparams = market_for(shape, choice, world.hparams)
        return market.init(jax.random.key(world.seed), hparams, join(world.data, shared))

    def rounds(choice: jax.Array, pair: tuple[Worlds, PyTree], shared: PyTree) -> PyTree:
        world, state = pair
        market, hparams = market_for(shape, choice, world.hparams)
        return market.rounds(state, hparams, join(world.data, shared))

    def finish(choice: jax.Array, pair: tuple[Worlds, PyTree], shared: PyTree) -> PyTree:
        world, state = pair
        market, hparams = market_for(shape, choice, world.hparams)
        nothing: Any = ()
        data = join(world.data, shared)
        outcome = market.finish(state, hparams, data, nothing, nothing)
        return outcome._replace(theta=nothing, defence=outcome.defence._replace(memory=nothing))

    return tuple(_on_mesh(one, mesh) for one in (init, rounds, finish))


def _on_mesh(one: Callable[..., PyTree], mesh: Mesh) -> Callable[..., PyTree]:
    """The function of one world over D devices with W worlds and a choice each."""

    def local(choices: jax.Array, worlds: PyTree, shared: PyTree) -> PyTree:
        # The choice has no axis of worlds: only the chosen branches run.
        return jax.vmap(one, in_axes=(None, 0, None))(choices[0], worlds, shared)

    if mesh.size == 1:
        return local
    return jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(P("worlds"), P("worlds"), P()),
        out_specs=P("worlds"),
        check_vma=False,  # worlds never meet, so there is nothing to check
    )


def compile_program(shape: Shape, mesh: Mesh, worlds: Worlds, shared: PyTree) -> Program:
    """Compiles the program for worlds like these.

    Args:
        shape: what it is compiled for.
        mesh: of this process's devices, with the one axis "worlds".
        worlds: arrays or shapes with D W worlds.
        shared: data of all worlds.

    Raises:
        ValueError: whatever the rooms refuse while they are traced.
    """
    started = time.perf_counter()
    init, rounds, finish = functions(shape, mesh)
    choice = jax.ShapeDtypeStruct((mesh.size, len(Picks._fields)), jnp.int32, sharding=spread(mesh))
    worlds, shared = _described(worlds, spread(mesh)), _described(shared, _same(mesh))
    state = jax.eval_shape(init, choice, worlds, shared)
    state = _described(state, spread(mesh))
    jobs = (
        (rounds, (worlds, state), OFTEN),  # the longest first
        (init, worlds, QUICKEST),
        (finish, (worlds, state), QUICKEST),
    )
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        futures = []
        for function, args, options in jobs:
            jitted = jax.jit(function, out_shardings=spread(mesh))
            lowered = jitted.lower(choice, args, shared)
            futures.append(pool.submit(compile_with, lowered, options))
        rounds, init, finish = (future.result() for future in futures)
    return Program(
        shape,
        mesh,
        init,
        rounds,
        finish,
        seconds=time.perf_counter() - started,
        memory=max(_memory(one) for one in (init, rounds, finish)),
    )


def _memory(compiled: Any) -> int:
    facts = compiled.memory_analysis()
    if facts is None:
        return 0
    return facts.temp_size_in_bytes + facts.argument_size_in_bytes + facts.output_size_in_bytes


def spread(mesh: Mesh) -> NamedSharding:
    """Worlds over the devices of the mesh."""
    return NamedSharding(mesh, P("worlds"))


def _same(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, P())


def _described(tree: PyTree, sharding: NamedSharding) -> PyTree:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def run_worlds(
    program: Program, choices: Sequence[tuple[int, ...]], worlds: Worlds, shared: PyTree
) -> MarketOutcome:
    """Runs D W worlds and brings what they left behind to the host, every leaf [D W, ...].

    Args:
        program: compiled for these shapes.
        choices: D times the places of what is picked by index, see `Picks.places`.
        worlds: D W of them.
        shared: on the devices already.
    """
    mesh, spec = program.mesh, program.shape.spec
    choice = place(mesh, np.asarray(choices, np.int32))
    worlds = place(mesh, worlds)
    state = program.init(choice, worlds, shared)
    pieces = []
    for _ in range(spec.num_rounds // spec.eval_every):
        state, piece = program.rounds(choice, (worlds, state), shared)
        pieces.append(piece)
    outcome = program.finish(choice, (worlds, state), shared)
    outcome, pieces = jax.device_get((outcome, pieces))
    info = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *[p[0] for p in pieces])
    evaluations = jax.tree.map(lambda *parts: np.stack(parts, axis=1), *[p[1] for p in pieces])
    return outcome._replace(rounds=info, evaluations=evaluations)


def place(mesh: Mesh, tree: PyTree) -> PyTree:
    """Spreads arrays with a leading axis of worlds (or choices) over the devices."""
    return jax.device_put(tree, spread(mesh))


def share(mesh: Mesh, shared: PyTree) -> PyTree:
    """Puts the data of all worlds on every device of the mesh, once."""
    return jax.device_put(shared, _same(mesh))
