"""Parts held to their promise: one sentence with the part's name, while it is traced."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

from d2m_jax.core import promises
from d2m_jax.core.promises import booleans, checked, floats, integers

THREE = jnp.arange(3.0)


class Pair(NamedTuple):
    """A record of two arrays."""

    first: Any
    second: Any


@pytest.mark.parametrize(
    ("found", "promise", "sentence"),
    [
        (THREE, floats(2), "floating numbers of shape (2,), not float32 of shape (3,)"),
        (THREE, integers(3), "integers of shape (3,), not float32 of shape (3,)"),
        (None, floats(), "floating numbers of shape (), not None"),
        ("text", floats(), "floating numbers of shape (), not str"),
        (1, booleans(), "booleans of shape (), not int32 of shape ()"),
        (THREE, floats(None, 3), "floating numbers of shape (any, 3), not float32 of shape (3,)"),
        (
            (THREE,),
            (floats(3), floats(3)),
            "2 results (floating numbers of shape (3,); floating numbers of shape (3,)), not 1 "
            "results",
        ),
        (
            (THREE, 1),
            (floats(3), booleans()),
            "2 results (floating numbers of shape (3,); booleans of shape ()), not int32 of shape "
            "() as result 2",
        ),
        ((THREE, THREE), Pair(floats(3), floats(3)), "Pair(first: floating numbers of shape"),
        (Pair(THREE, 1), Pair(floats(3), booleans()), "not int32 of shape () as second"),
        ({"a": 1.0}, promises.Like({"a": THREE}), "not float32 of shape () in place of (3,) a"),
        ({"b": THREE}, promises.Like({"a": THREE}), "not dict of another structure"),
    ],
)
def test_a_broken_promise_is_one_sentence(found: Any, promise: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as said:
        promises.kept("part 'mine'", found, promise)
    assert str(said.value).startswith("part 'mine' must give ") and sentence in str(said.value)
    assert "\n" not in str(said.value)


def test_a_kept_promise_changes_nothing() -> None:
    def part(x: jax.Array, *, size: float = 2.0) -> tuple[jax.Array, Pair]:
        """Doubles."""
        return size * x, Pair(x > 0, {"any": x})

    def promise(x: jax.Array, **_: Any) -> Any:
        return floats(*x.shape), Pair(booleans(*x.shape), promises.anything)

    whole = checked(part, "part", promise)
    plain, held = (str(jax.make_jaxpr(fn)(THREE)) for fn in (part, whole))
    assert plain == held
    assert whole.__name__ == "part"


def test_a_wrong_signature_is_one_sentence() -> None:
    part = checked(lambda x: x, "rule 'mine'", lambda *_, **__: floats(3))
    with pytest.raises(ValueError, match=r"rule 'mine' is called with 1 arguments, mask=, which"):
        part(THREE, mask=None)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"rule 'mine' is called with 2 arguments, which it does"):
        part(THREE, THREE)  # type: ignore[call-arg]
