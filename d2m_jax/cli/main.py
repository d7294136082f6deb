"""The command `d2m`: one door to all commands.

    d2m run --config=configs/digits.py        a market, from the auction to its account
    d2m sweep --config=FILE --out=DIR         thousands of markets
    d2m report DIR                            one page of a sweep, or of a market
    d2m reproduce --quick                     the paper's results again, held to bands
    d2m audit                                 does honesty pay?
    d2m evolve                                strategies that spread where they pay
    d2m study                                 errors and costs of CONE's stop rules
    d2m gas                                   what a market costs on chain
    d2m list [attacks | config | ...]         what there is
    d2m show attack.alie                      one part: numbers, options, formula

Every command has its flags: `d2m run --help`. The files in scripts/ are the same commands.
"""

import importlib
import sys
from collections.abc import Sequence

from d2m_jax.core.choices import lookup

COMMANDS = {  # name -> module of d2m_jax.cli, imported when it is asked for
    "run": "run_market",
    "sweep": "sweep",
    "report": "report",
    "reproduce": "reproduce",
    "audit": "best_response",
    "evolve": "evolve",
    "study": "cone_study",
    "gas": "gas_report",
    "list": "catalogue",
    "show": "part",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that the first argument names."""
    argv = list(sys.argv if argv is None else argv)
    if len(argv) < 2 or argv[1] in ("help", "-h", "--help", "-help"):
        print(__doc__.strip())
        return 0
    try:
        module = lookup(COMMANDS, argv[1], "command")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    command = importlib.import_module(f"d2m_jax.cli.{module}")
    return command.main([f"d2m {argv[1]}", *argv[2:]])
