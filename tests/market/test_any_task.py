"""Every mechanism with every kind of task, or a sentence; traces only, nothing compiles."""

import jax
import numpy as np
import pytest

from d2m_jax import HParams, Spec, make_market
from d2m_jax.config.population import Population
from d2m_jax.data import build, from_arrays, from_batches
from d2m_jax.sweep import axis, make_plan, product, run_plan
from d2m_jax.sweep import load as load_results
from d2m_jax.tasks import METRICS, Metric, Task
from tests.sweep.small import base

RNG = np.random.default_rng(0)
ROWS = 400
SMALL = {
    "num_sellers": 4,
    "num_sampled": 4,
    "num_rounds": 2,
    "eval_every": 2,
    "batch_size": 8,
    "num_nodes": 8,
    "num_blocks": 2,
}


def table(labels, **given):
    return from_arrays(RNG.normal(size=(ROWS, 5)).astype(np.float32), labels, **given)


CLASSES = RNG.integers(0, 3, ROWS)
SETS = (RNG.random((ROWS, 4)) < 0.4).astype(np.float32)
WORDS = RNG.integers(0, 30, (ROWS, 6))
DATA = {
    "classes": lambda: table(CLASSES),
    "numbers": lambda: table(RNG.normal(size=ROWS).astype(np.float32)),
    "sets of labels": lambda: table(SETS),
    "characters": lambda: from_arrays(WORDS, np.roll(WORDS, -1, 1), kind="text"),
    "questions": lambda: from_arrays(WORDS, CLASSES, kind="text"),
}
MODELS = {"characters": "char_lstm", "questions": "text_bow"}
VARIANTS = {
    "default": {},
    "rule": {"sampler": "uniform", "aggregator": "median"},
    "backdoored features": {"attack": "off_topic"},
    "searching": {"attack": "opt_alie", "sampler": "uniform", "aggregator": "krum"},
    "privacy per example": {"privacy": "example"},
    "privacy per update": {"privacy": "update"},
    "exact values": {"contribution": "round_shapley"},
    "path values": {"contribution": "path"},
    "local steps": {"local_steps": 2, "client_momentum": "ema"},
}


@pytest.mark.few(1, each="variant")
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", DATA)
def test_mechanisms_take_every_task(kind, variant):
    dataset = DATA[kind]()
    data = build(dataset, num_sellers=4, partition="iid", num_validation=40, num_root=4)
    spec = Spec(model=MODELS.get(kind, "mlp"), **{**SMALL, **VARIANTS[variant]})
    market = make_market(spec, dataset)
    people = Population(num_byzantine=1, num_tag_liars=1)
    outcome = jax.eval_shape(
        market.run, jax.random.key(0), market.numbers(HParams(population=people)), data
    )
    assert outcome.theta.shape == (market.model.num_params,)


@pytest.mark.parametrize(
    "kind, attack, words",
    [
        ("numbers", "label_flip", "changes classes, and the labels of task 'mlp' are numbers"),
        ("sets of labels", "relabel_random", "changes classes"),
        ("classes", "backdoor", "stamps images, and task 'mlp' is about table"),
    ],
)
def test_an_attack_on_data_that_the_task_has_not_is_refused(kind, attack, words):
    with pytest.raises(ValueError, match=words):
        make_market(Spec(model="mlp", attack=attack, **SMALL), DATA[kind]())


def test_partial_models_need_a_network_that_says_what_its_units_are():
    fields = {"partial": True, "sampler": "uniform", "aggregator": "mean", **SMALL}
    with pytest.raises(ValueError, match="'text_bow' does not say what those are"):
        make_market(Spec(model="text_bow", **fields), DATA["questions"]())
    make_market(Spec(model="mlp", **fields), DATA["classes"]())


def ratings():
    """A batch that is no dictionary of inputs and labels."""
    whole = (RNG.normal(size=(ROWS, 3)).astype(np.float32), RNG.normal(size=ROWS))
    train, test = (tuple(leaf[part] for leaf in whole) for part in (slice(100, None), slice(100)))
    return from_batches(train, test, name="ratings")


def own_task():
    def apply(params, batch, key):
        return batch[0] @ params

    def close(outputs, batch):
        return (abs(outputs - batch[1]) < 1).astype(np.float32)

    def loss(outputs, batch):
        return (outputs - batch[1]) ** 2

    def init(key):
        return jax.random.normal(key, (3,))

    return Task(init, apply, loss, Metric("close", per_example=close), name="ratings")


def test_a_batch_of_any_tree_and_what_it_cannot_have():
    dataset = ratings()
    data = build(dataset, num_sellers=4, partition="iid", num_validation=40)
    market = make_market(Spec(model=own_task(), **SMALL))
    jax.eval_shape(market.run, jax.random.key(0), market.numbers(HParams()), data)
    poisoned = make_market(Spec(model=own_task(), attack="off_topic", **SMALL))
    with pytest.raises(ValueError, match="poisons inputs and labels, which the batches"):
        jax.eval_shape(poisoned.run, jax.random.key(0), poisoned.numbers(HParams()), data)
    with pytest.raises(ValueError, match="no named model fits it: give a Task of your own"):
        make_market(Spec(**SMALL), dataset)


def test_too_few_classes_is_a_sentence():
    digits = DATA["classes"]()
    few = make_market(Spec(model="mlp", **SMALL), digits).parts.model
    task = Task(few.init, few.apply, few.of_outputs, METRICS["accuracy"], num_classes=2)
    with pytest.raises(ValueError, match="2"):
        make_market(Spec(model=task, **SMALL), digits)


def my_table():
    """A data set of the user's own, as a sweep file makes it."""
    return DATA["classes"]()


@pytest.mark.slow
def test_an_own_data_set_is_swept(tmp_path):
    tree = base(num_rounds=4, eval_every=4)
    tree["data"]["num_validation"] = 40
    points = product(axis("data.name", [my_table]), axis("seed", [0, 1]))
    plan = make_plan(tree, points)
    assert len(plan.runs) == 2 and not plan.refused
    run_plan(plan, tmp_path)
    runs = load_results(tmp_path).runs
    assert (runs["status"] == "done").all() and (runs["data.name"] == "my_table").all()


@pytest.mark.slow
def test_roles_are_carried_to_the_next_job():
    dataset = DATA["classes"]()
    data = build(dataset, num_sellers=4, partition="iid", num_validation=40)
    market = make_market(Spec(model="logreg", attack="sign_flip", **SMALL), dataset)
    numbers = market.numbers(HParams(population=Population(num_byzantine=2)))
    run = jax.jit(market.run)
    first = run(jax.random.key(0), numbers, data)
    second = run(jax.random.key(1), numbers, data, first.ledger, first.roles)
    np.testing.assert_array_equal(first.roles.byzantine, second.roles.byzantine)
    np.testing.assert_array_equal(second.opening.balances, first.ledger.balances)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"population": Population(num_byzantine=10)}, "is more than the num_sellers = 4"),
        ({"tau": 90.0}, r"tau must lie in \[0.0001, 1\]"),
        ({"rules": {"reserv": 3}}, "unknown rule of the ledger 'reserv' .did you mean 'reserve'"),
        ({"attack": {"zz": 1.0}}, "unknown number of attack 'none' 'zz'"),
    ],
)
def test_python_hears_the_sentences_of_the_scripts(change, words):
    market = make_market(Spec(model="logreg", **SMALL), DATA["classes"]())
    with pytest.raises(ValueError, match=words):
        market.numbers(HParams(**change))


def test_a_supply_past_32_bits_is_refused():
    market = make_market(Spec(model="logreg", **SMALL), DATA["classes"]())
    money = HParams().money.replace(buyer_funds=2_000_000_000)
    with pytest.raises(ValueError, match=r"2\*\*31|supply|32 bits"):
        market.numbers(HParams(money=money))
