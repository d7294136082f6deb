"""Tables of a best-response audit. Host only; the figures come from `incentives`."""

from typing import Any

import numpy as np
import pandas as pd

from d2m_jax.incentives import best_response as br


class Audit:
    """Rows of the three tables: verdicts, strategies, repairs."""

    def __init__(self, confidence: float, tolerance: float):
        self.confidence, self.tolerance = confidence, tolerance
        self.rows: list[dict[str, Any]] = []
        self.repairs: list[dict[str, Any]] = []
        self.verdicts: list[dict[str, Any]] = []

    def add(self, game: str, names: list[str], payoffs: dict[str, np.ndarray]) -> None:
        """Payoffs [P, K] given "honest" and perhaps "random" others; honesty is the first row."""
        found = {others: br.regret(table, 0, self.confidence) for others, table in payoffs.items()}
        mean = payoffs["honest"][0].mean()
        tie = self.tolerance * abs(mean)
        self.verdicts.append(
            {
                "game": game,
                "honest utility": mean,
                **{
                    f"regret, {others} others": f"{r.value:,.0f} ({r.low:,.0f} .. {r.high:,.0f})"
                    for others, r in found.items()
                },
                "best deviation": names[found["honest"].best],
                "honesty is": self._verdict(found, tie),
            }
        )
        for i, name in enumerate(names):
            row = {"game": game, "strategy": name}
            for others, table in payoffs.items():
                row[f"utility, {others} others"] = table[i].mean()
                row[f"gain, {others} others"] = found[others].gains[i]
                row[f"margin, {others} others"] = found[others].margins[i]
            self.rows.append(row)

    def _verdict(self, found: dict[str, br.Regret], tie: float) -> str:
        if "random" in found:
            return br.verdict(found["honest"], found["random"], tie)
        word = br.verdict(found["honest"], found["honest"], tie)
        return "Nash (random others not played)" if word == "dominant" else word

    def repair(self, game: str, what: str, solved: br.Threshold, closed: float) -> None:
        """A threshold solved for on payoffs beside the closed condition.

        It agrees when the interval holds the closed value; an endless interval says nothing.
        """
        bounded = np.isfinite([solved.low, solved.high]).all()
        agrees = "yes" if solved.low <= closed <= solved.high else "no"
        self.repairs.append(
            {
                "game": game,
                "parameter": what,
                "solved for": solved.value,
                "low": solved.low,
                "high": solved.high,
                "closed form": closed,
                "agrees": agrees if bounded else "undetermined",
            }
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        """Tidy tables by name."""
        return {
            "verdicts": pd.DataFrame(self.verdicts),
            "strategies": pd.DataFrame(self.rows),
            "repairs": pd.DataFrame(self.repairs),
        }


def markdown(table: pd.DataFrame) -> str:
    """A table of numbers and words in Markdown."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return (
                "" if np.isnan(value) else f"{value:,.0f}" if abs(value) >= 10 else f"{value:.3g}"
            )
        return str(value)

    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += [
        "| " + " | ".join(cell(v) for v in row) + " |" for row in table.itertuples(index=False)
    ]
    return "\n".join(lines) + "\n"
