"""One way to choose: names, own parts, their numbers, and a digest that follows their code."""

import functools
import types
from typing import NamedTuple

import jax
import numpy as np
import pytest

from d2m_jax.core.choices import bound, digest, is_own, label, numbers, options, pick
from d2m_jax.core.types import Number


def plain(x, *, strength: float = 2.0, count: int = 3, target: Number = 1, how="fast", on=True):
    return x * strength + count + target


class Pair(NamedTuple):
    first: object
    second: object = None


def test_numbers_are_floats_and_what_says_so():
    assert numbers(plain) == {"strength": 2.0, "target": 1}
    assert options(plain) == {"count": 3, "how": "fast", "on": True}
    assert numbers(functools.partial(plain, strength=5.0)) == {"target": 1}

    def other(y, *, rate: float = 0.1, key=None, mask=None, context=None):
        return y

    assert numbers(Pair(plain, other)) == {"strength": 2.0, "target": 1, "rate": 0.1}


def test_pick_takes_a_name_or_a_part():
    registry = {"plain": plain}
    assert pick(registry, "plain", "thing") is plain and pick(registry, max, "thing") is max
    with pytest.raises(ValueError, match=r"unknown thing 'plian' .did you mean 'plain'"):
        pick(registry, "plian", "thing")
    for wrong in (None, 3, (1, 2)):
        assert not is_own(wrong)
        with pytest.raises(ValueError, match="thing must be a name or a function of your own"):
            pick(registry, wrong, "thing")


def test_labels():
    assert label("alie") == "alie" and label(plain) == "plain" and label(Pair(plain)) == "plain"
    assert label(functools.partial(plain, count=1)) == "plain"


def test_bound_gives_each_function_of_a_record_its_own():
    def other(y, *, rate: float = 0.1):
        return y * rate

    pair = bound(Pair(plain, other), {"rate": 10.0, "strength": 1.0})
    assert pair.second(2) == 20 and pair.first(2) == 6 and bound(plain, {}) is plain


def made(code, name="mine", file="users.py"):
    found = {}
    exec(compile(code, file, "exec"), found)
    return found[name]


def test_digest_follows_the_code_and_what_it_calls():
    first = "def helper(x):\n    return x + 1\ndef mine(x, *, a=1.0):\n    return helper(x) * a\n"
    one = digest(made(first))
    assert one == digest(made(first)) == digest(made("\n\n# a comment\n" + first))
    for edited in (
        first.replace("* a", "/ a"),
        first.replace("a=1.0", "a=2.0"),
        first.replace("x + 1", "x + 2"),  # in a function that it calls
    ):
        assert digest(made(edited)) != one
    closure = "def outer(k):\n    def mine(x):\n        return x * k\n    return mine\n"
    two, three = (digest(made(closure, "outer")(k)) for k in (2, 3))
    arrays = [digest(functools.partial(plain, np.arange(n))) for n in (3, 4)]
    seeds = [digest(functools.partial(plain, jax.random.key(n))) for n in (3, 4)]
    assert seeds[0] != seeds[1] and seeds[0] == digest(functools.partial(plain, jax.random.key(3)))
    assert two != three and arrays[0] != arrays[1]


def test_digest_follows_a_notebook_and_leaves_packages_alone():
    one, two = (f"def mine(x):\n    return x + {n}\n" for n in (1, 2))
    assert digest(made(one, file="<cell 1>")) != digest(made(two, file="<cell 2>"))
    there = "/usr/lib/python3/site-packages/other.py"
    assert digest(made(one, file=there)) == digest(made(two, file=there))


def test_digest_tells_apart_who_is_met_again():
    f, g = (lambda x: x + 1), (lambda x: x * 2)
    a, b = np.arange(3), np.arange(4)
    orders = [(f, f, g), (f, g, g), (f, g), (a, a, b), (a, b, b)]
    assert len({digest(functools.partial(plain, order)) for order in orders}) == len(orders)


class Private:
    def __init__(self, weight):
        self._weight = weight

    def __call__(self, x):
        return x * self._weight


class Slotted:
    __slots__ = ("weight",)

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, x):
        return x * self.weight


@pytest.mark.parametrize("kind", [Private, Slotted])
def test_digest_sees_private_fields_and_slots(kind):
    assert digest(kind(1.0)) == digest(kind(1.0)) != digest(kind(2.0))


def test_an_own_part_must_not_have_the_name_of_another():
    def second(x):
        return x

    registry = {"second": plain}
    with pytest.raises(ValueError, match="a rule of your own has the name of a built-in one, 'sec"):
        pick(registry, second, "a rule")
    assert pick(registry, plain, "a rule") is plain and pick({"a": second}, second, "a rule")


def test_digest_follows_an_own_module():
    def mine(code):
        module = types.ModuleType("users_module")
        exec(compile(code, "users_module.py", "exec"), vars(module))
        return digest(functools.partial(plain, module))

    one = "def used(x):\n    return x + 1\n"
    assert mine(one) == mine(one) != mine(one.replace("+", "-"))
    assert digest(functools.partial(plain, np)) == digest(functools.partial(plain, np))


def test_digest_of_a_recursive_function_ends():
    code = "def mine(x):\n    return 1 if x < 1 else x * mine(x - 1)\n"
    assert digest(made(code)) == digest(made(code))
