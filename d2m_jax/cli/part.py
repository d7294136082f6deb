"""One part, read from the code: what it is, its numbers and options, where it is set.

d2m show attack.alie
d2m show aggregator.centered_clipping
"""

import inspect
from collections.abc import Sequence

from absl import flags

from d2m_jax import data
from d2m_jax.cli import door
from d2m_jax.cli.catalogue import ABOUT_DATA, about, kind_of, kinds, plural
from d2m_jax.core.choices import functions_of, lookup, numbers, options
from d2m_jax.market.choices import CHOICES


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; see `door.enter`."""
    return door.enter(run, argv, define=define, about=__doc__, names=("a part: KIND.NAME",))


def define(values: flags.FlagValues) -> None:
    """No flags."""
    del values


def run(call: door.Call) -> None:
    """Prints all that is known of the part."""
    word, dot, name = call.names[0].partition(".")
    kind = kind_of(word)
    if not dot:
        raise ValueError(f"name one of them, KIND.NAME: {', '.join(kinds()[kind])}")
    part = lookup(kinds()[kind], name, kind)
    print(f"{kind}: {name}\n\n{about(part) or ABOUT_DATA.get(name, 'Nothing of its own.')}\n")
    for line in settings(kind, name):
        print(line)


def settings(kind: str, name: str) -> list[str]:
    """How the part is chosen, and what can be told to it."""
    part = kinds()[kind][name]
    choice = next((c for field, c in CHOICES.items() if plural(field) == kind), None)
    if choice is None:
        where = "data.partition" if part in data.PARTITIONS.values() else "data.name"
        return [f"Choose it:  --config.{where}={name}"]
    lines = [f"Choose it:  --config.spec.{choice.field}={name}"]
    if part is None:
        return lines
    for number, default in (numbers(part) if choice.numbers else {}).items():
        field = f"hparams.{choice.numbers}.{name}.{number}"
        lines.append(f"Number:     --config.{field}={default}   (may be swept)")
    for option, default in options(part).items():
        lines.append(f"Option:     {option} = {default}   (static)")
    sources = sorted({inspect.getmodule(fn).__name__ for fn in functions_of(part)})  # type: ignore[union-attr]
    return [*lines, f"Code:       {', '.join(sources)}"]
