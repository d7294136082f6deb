"""What can be read from a signature: which keywords a part takes, what they are by default."""

from functools import partial

from d2m_jax.core.choices import default_of, numbers, options, taken
from d2m_jax.core.types import Number


def part(key, updates, *, context, size: Number = 2, share=0.5, mode="mean", deep: bool = False):
    del key, context, mode, deep
    return size * share * updates


def greedy(key, **numbers):
    del key
    return numbers


def test_numbers_and_options():
    assert numbers(part) == {"size": 2, "share": 0.5}
    assert options(part) == {"mode": "mean", "deep": False}
    assert numbers(partial(part, share=0.1)) == {"size": 2}


def test_taken():
    given = {"size": 1, "speed": 3}
    assert taken(part, given) == {"size": 1}
    assert taken(greedy, given) == given and taken(partial(greedy, a=1), given) == given


def test_default_of():
    assert default_of(part, "mode", "none") == "mean"
    assert default_of(partial(part, mode="sum"), "mode", "none") == "sum"
    assert default_of(part, "context", 7) == 7 and default_of(None, "mode", 7) == 7
