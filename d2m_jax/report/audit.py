"""Tables of a best-response audit. Host only; the figures come from `incentives`."""

import json
import pathlib
from typing import Any

import numpy as np
import pandas as pd

from d2m_jax.incentives import best_response as br

UNFINISHED = "unfinished.json"


class Audit:
    """Rows of the three tables: verdicts, strategies, repairs.

    Args:
        confidence: of all intervals of a game together.
        tolerance: ties, as a share of what honesty earns in the same worlds.
        out: folder in which the tables are written whenever a game has ended; None writes nothing.
        header: first line of the Markdown.
        settings: all that the rows depend on. An unfinished audit in `out` with the same settings
            is gone on with.
    """

    def __init__(
        self,
        confidence: float,
        tolerance: float,
        out: pathlib.Path | None = None,
        header: str = "",
        settings: Any = None,
    ):
        self.confidence, self.tolerance, self.header = confidence, tolerance, header
        self.settings = json.loads(json.dumps(settings, default=str))
        self.rows: list[dict[str, Any]] = []
        self.repairs: list[dict[str, Any]] = []
        self.verdicts: list[dict[str, Any]] = []
        self.out = out
        if out:
            out.mkdir(parents=True, exist_ok=True)
            if (out / UNFINISHED).exists():
                found = json.loads((out / UNFINISHED).read_text())
                if found["settings"] == self.settings:
                    self.rows, self.repairs, self.verdicts = found["rows"]

    def has(self, game: str) -> bool:
        """Whether the game has been played, now or before an interruption."""
        return any(row["game"] == game for row in (*self.verdicts, *self.repairs))

    def keep(self) -> None:
        """Writes the tables, and what it takes to go on from here, all or nothing."""
        if self.out:
            for name, table in self.tables().items():
                table.to_csv(self.out / f"{name}.csv", index=False)
            (self.out / "audit.md").write_text(self.text())
            rows = self.rows, self.repairs, self.verdicts
            note = json.dumps({"settings": self.settings, "rows": rows}, default=float)
            (self.out / "unfinished.new").write_text(note)
            (self.out / "unfinished.new").replace(self.out / UNFINISHED)

    def finish(self) -> None:
        """Writes the tables; the same command will begin anew."""
        self.keep()
        if self.out:
            (self.out / UNFINISHED).unlink()

    def text(self) -> str:
        """All tables in Markdown."""
        parts = [
            f"## {n.capitalize()}\n\n{markdown(t)}" for n, t in self.tables().items() if len(t)
        ]
        return "\n".join([self.header, *parts])

    def best(self, game: str) -> list[str]:
        """The deviations of a game, those first that earn most among honest others."""
        rows = sorted(self._deviations(game), key=lambda row: -row["gain, honest others"])
        return [row["strategy"] for row in rows]

    def pays(self, game: str) -> list[str]:
        """Deviations that clearly pay among honest others, beyond a tie."""
        honest = next(row["honest utility"] for row in self.verdicts if row["game"] == game)
        return [
            row["strategy"]
            for row in self._deviations(game)
            if row["gain, honest others"] - row["margin, honest others"]
            > self.tolerance * abs(honest)
        ]

    def _deviations(self, game: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["game"] == game][1:]  # the first is honesty

    def add(self, game: str, names: list[str], payoffs: dict[str, np.ndarray]) -> None:
        """Payoffs [P, K] given "honest" and perhaps "random" others; honesty is the first row."""
        found = {others: br.regret(table, 0, self.confidence) for others, table in payoffs.items()}
        means = {others: table[0].mean() for others, table in payoffs.items()}
        ties = {others: self.tolerance * abs(mean) for others, mean in means.items()}
        self.verdicts.append(
            {
                "game": game,
                "honest utility": means["honest"],
                **{
                    f"regret, {others} others": f"{r.value:,.0f} ({r.low:,.0f} .. {r.high:,.0f})"
                    for others, r in found.items()
                },
                "best deviation": names[found["honest"].best],
                "honesty is": self._verdict(found, ties),
            }
        )
        for i, name in enumerate(names):
            row = {"game": game, "strategy": name}
            for others, table in payoffs.items():
                row[f"utility, {others} others"] = table[i].mean()
                row[f"gain, {others} others"] = found[others].gains[i]
                row[f"margin, {others} others"] = found[others].margins[i]
            self.rows.append(row)

    def _verdict(self, found: dict[str, br.Regret], ties: dict[str, float]) -> str:
        if "random" in found:
            return br.verdict(found["honest"], found["random"], (ties["honest"], ties["random"]))
        word = br.verdict(found["honest"], found["honest"], (ties["honest"], ties["honest"]))
        return "Nash (random others not played)" if word == "dominant" else word

    def repair(
        self, game: str, what: str, solved: br.Threshold, closed: float | None = None
    ) -> None:
        """A threshold solved for on payoffs, beside the closed condition if there is one.

        It agrees when the interval holds the closed value; an endless interval says nothing.
        """
        row = {"game": game, "parameter": what, "solved for": solved.value}
        row |= {"low": solved.low, "high": solved.high}
        if closed is not None:
            bounded = np.isfinite([solved.low, solved.high]).all()
            agrees = "yes" if solved.low <= closed <= solved.high else "no"
            row |= {"closed form": closed, "agrees": agrees if bounded else "undetermined"}
        self.repairs.append(row)

    def closed(self, game: str, what: str, value: float) -> None:
        """A threshold of which only the closed condition is known."""
        self.repairs.append({"game": game, "parameter": what, "closed form": value})

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
        if pd.isna(value):
            return ""
        if isinstance(value, float):
            return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.3g}"
        return str(value)

    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += [
        "| " + " | ".join(cell(v) for v in row) + " |" for row in table.itertuples(index=False)
    ]
    return "\n".join(lines) + "\n"
