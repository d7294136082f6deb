"""One self-contained page of a results folder, of a sweep or of a single market.

    write_report("results/quick", x="num_byzantine", by="aggregator")

Read next: `sweep.py` and `market.py`, what the pages say; `charts.py`, how they are drawn;
`assets/`, what runs in the browser.
"""

from d2m_jax.report.page.write import Report, write_report

__all__ = ["Report", "write_report"]
