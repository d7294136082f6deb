"""What a run leaves: folder, checkpoints, tables, model, plots, the written account.

`folder.py` opens the results folder, `loggers.py` and `checkpoint.py` write as the run goes,
`results.py` writes what a finished one adds. `columns.py` says what every column means. What a
market of several jobs adds is imported when it is asked for: it needs pandas at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

from d2m_jax.core.files import StorageError, given_path, kept
from d2m_jax.report.account import print_account, print_header
from d2m_jax.report.checkpoint import Checkpoint, Saved, restore
from d2m_jax.report.folder import (
    config_tree,
    is_unfinished,
    open_results,
    results_name,
    tree_digest,
)
from d2m_jax.report.loggers import (
    csv_logger,
    progress_logger,
    tensorboard_logger,
    wandb_logger,
)
from d2m_jax.report.model_file import load_model, save_model
from d2m_jax.report.results import write_plots, write_results
from d2m_jax.report.tables import (
    evaluations_table,
    money_table,
    nodes_table,
    phase_name,
    rounds_table,
    sellers_table,
)

if TYPE_CHECKING:
    from d2m_jax.report.job_account import print_jobs
    from d2m_jax.report.job_results import write_job_plots, write_job_results
    from d2m_jax.report.job_tables import jobs_table, serves_table

LATE = {
    "print_jobs": "job_account",
    "write_job_plots": "job_results",
    "write_job_results": "job_results",
    "jobs_table": "job_tables",
    "serves_table": "job_tables",
}

__all__ = [
    "Checkpoint",
    "Saved",
    "StorageError",
    "config_tree",
    "csv_logger",
    "evaluations_table",
    "given_path",
    "is_unfinished",
    "jobs_table",
    "kept",
    "load_model",
    "money_table",
    "nodes_table",
    "open_results",
    "phase_name",
    "print_account",
    "print_header",
    "print_jobs",
    "progress_logger",
    "restore",
    "results_name",
    "rounds_table",
    "save_model",
    "sellers_table",
    "serves_table",
    "tensorboard_logger",
    "tree_digest",
    "wandb_logger",
    "write_job_plots",
    "write_job_results",
    "write_plots",
    "write_results",
]


def __getattr__(name: str) -> Any:
    """A function of several jobs, from its module."""
    if name not in LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{LATE[name]}"), name)
