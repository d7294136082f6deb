"""The contracts, compiled: code, selectors, where the state lies, which line refuses.

Read next: `market.py`.
"""

import bisect
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

FOLDER = pathlib.Path(__file__).parent
STORE = "store"  # the module that the market's two pieces of code share

Place = tuple[str, int]  # file and line


class Artifact(NamedTuple):
    """What the compiler made of a contract."""

    code: bytes  # that creates it, without arguments
    selectors: dict[str, bytes]  # by name
    slots: dict[str, int]  # first storage slot of each variable
    fixed: dict[str, tuple[int, int]]  # of each immutable: where it begins and its length
    immutables: int  # bytes of them behind the running code
    places: dict[int, Place]  # in the source, by position in the running code
    refusals: dict[int, Place]  # the same of each `assert`, in the code that creates the contract
    abi: list[dict[str, Any]]

    def set_fixed(self, code: bytes, name: str, data: bytes) -> bytes:
        """The running code with another value of an immutable."""
        start, length = self.fixed[name]
        if length != len(data):
            raise ValueError(f"{name} has {length} bytes, not {len(data)}")
        at = len(code) - self.immutables + start
        return code[:at] + data + code[at + length :]

    def names_of(self, argument: str) -> list[str]:
        """The fields of a struct that the constructor takes, in order."""
        (made,) = (entry for entry in self.abi if entry["type"] == "constructor")
        (found,) = (x for x in made["inputs"] if x["name"] == argument)
        return [part["name"] for part in found["components"]]


def source_of(name: str) -> str:
    """The text of one of the contracts, by the name of its file without the ending."""
    return (FOLDER / f"{name}.vy").read_text()


def compile_contract(name: str, texts: Mapping[str, str] | None = None) -> Artifact:
    """Compiles one of the contracts, or a changed text of it or of what it imports."""
    sources = {name: source_of(name), STORE: source_of(STORE), **(texts or {})}
    return _compile(name, sources)


def compile_text(text: str) -> Artifact:
    """Compiles a contract that imports nothing."""
    return _compile("text", {"text": text})


def _compile(name: str, sources: Mapping[str, str]) -> Artifact:
    # Here, so that a worker that is handed an artifact need not load a compiler.
    from vyper.compiler import compile_from_file_input
    from vyper.compiler.input_bundle import JSONInputBundle

    files = {pathlib.PurePath(f"{x}.vy"): {"content": text} for x, text in sources.items()}
    bundle = JSONInputBundle(files, [pathlib.PurePath(".")])
    main = bundle.load_file(f"{name}.vy")
    formats = ["bytecode", "method_identifiers", "layout", "source_map", "source_map_runtime"]
    made = compile_from_file_input(main, input_bundle=bundle, output_formats=[*formats, "abi"])
    selectors = {
        signature.split("(")[0]: bytes.fromhex(selector[2:].rjust(8, "0"))
        for signature, selector in made["method_identifiers"].items()
    }
    layout = made["layout"]
    fixed = {
        variable: (at["offset"], at["length"])
        for variable, at in _flat(layout["code_layout"], "offset").items()
    }
    slots = {x: at["slot"] for x, at in _flat(layout["storage_layout"], "slot").items()}
    names = {main.source_id: name}
    return Artifact(
        bytes.fromhex(made["bytecode"][2:]),
        selectors,
        slots,
        fixed,
        max((sum(at) for at in fixed.values()), default=0),
        _places(made["source_map_runtime"], names),
        _refusals(made["source_map"], names),
        made["abi"],
    )


def _flat(layout: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Variables by name, those of an imported module with the others."""
    found: dict[str, Any] = {}
    for name, at in layout.items():
        found |= {name: at} if key in at else _flat(at, key)
    return found


def _places(source_map: Mapping[str, Any], names: Mapping[int, str]) -> dict[int, Place]:
    sources = source_map["pc_ast_map"]
    return {
        pc: (names.get(sources[pc][0], STORE), where[0])
        for pc, where in source_map["pc_pos_map"].items()
    }


def _refusals(source_map: Mapping[str, Any], names: Mapping[int, str]) -> dict[int, Place]:
    """Where the code reverts with a text: position -> line of the `assert`.

    The compiler gives no line for the revert itself; that of the last position before it is the
    condition.
    """
    places = _places(source_map, names)
    known = sorted(places)
    return {
        pc: places[known[bisect.bisect(known, pc) - 1]]
        for pc, error in source_map["error_map"].items()
        if error == "user revert with reason"
    }


def place_of(artifact: Artifact, position: int) -> Place:
    """File and line of a position in the running code, or of the last one before it with a line.

    Of `Sent.back` of a refused message: the check that refused it.
    """
    known = sorted(artifact.places)
    return artifact.places[known[bisect.bisect(known, position) - 1]]
