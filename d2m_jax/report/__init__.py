"""Tables, plots and the written account of a market."""

from d2m_jax.report.account import print_account, print_header
from d2m_jax.report.results import prepare_folder, write_results
from d2m_jax.report.tables import (
    evaluations_table,
    money_table,
    nodes_table,
    rounds_table,
    sellers_table,
)

__all__ = [
    "evaluations_table",
    "money_table",
    "nodes_table",
    "prepare_folder",
    "print_account",
    "print_header",
    "rounds_table",
    "sellers_table",
    "write_results",
]
