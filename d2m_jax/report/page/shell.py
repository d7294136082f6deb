"""A page that stands alone: markup, style, data, scripts and chart library in one file. Host only.

Nothing on it asks the network for anything; `CONTENT` forbids it. Library: Vega-Lite with
vega-embed, as `vl_convert` carries them.
"""

import functools
import html
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

ASSETS = pathlib.Path(__file__).parent / "assets"
CONTENT = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)


def page(title: str, body: Iterable[str], data: dict[str, Any], scripts: Sequence[str]) -> str:
    """The page as text.

    Args:
        title: plain text.
        body: HTML.
        data: what the scripts call `PAGE`.
        scripts: names of files in `assets/`, in order; the last one has a function `start`.
    """
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{CONTENT}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{asset('page.css')}</style></head><body>",
        *body,
        "<noscript><p>The figures and the table need JavaScript; the files in the folder "
        "<code>figures</code> do not.</p></noscript>",
        f'<script type="application/json" id="data">{as_json(data)}</script>',
        '<script>const PAGE = JSON.parse(document.getElementById("data").textContent);</script>',
        *(f"<script>{asset(name)}</script>" for name in scripts),
        f'<script type="module">{library()}</script>',
        '<script type="module">start();</script>',
        "</body></html>\n",
    ]
    return "\n".join(parts)


def asset(name: str) -> str:
    """A file of the page."""
    return (ASSETS / name).read_text()


@functools.cache
def library() -> str:
    """The chart library as JavaScript that sets `vegaEmbed` and `vega`."""
    import vl_convert  # slow to import, and only a page needs it

    whole = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub lacks a default
    return whole.replace("</script", "<\\/script")


def as_json(value: Any) -> str:
    """Compact JSON that may stand inside of a script element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, default=str)
    return text.replace("<", "\\u003c")


def table(frame: pd.DataFrame, caption: str = "") -> str:
    """A static table."""
    text = frame.to_html(index=False, border=0, float_format=_number, na_rep="")
    head = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return '<div class="scroll" tabindex="0">' + text.replace(">", f">{head}", 1) + "</div>"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def pretty(value: Any) -> str:
    """JSON for people, escaped."""
    return html.escape(json.dumps(value, indent=2, default=str))
