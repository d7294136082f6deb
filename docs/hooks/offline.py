"""The site must not need a network: a page that loads anything from elsewhere ends the build."""

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

LOADS = re.compile(
    r"<(?:script|img|iframe|source|video)\b[^>]*\bsrc=[\"'](?:https?:)?//[^\"']*"
    r"|<link\b[^>]*rel=[\"'](?:stylesheet|preconnect|preload|icon)[\"'][^>]*href=[\"'](?:https?:)?//[^\"']*"
    r"|@import\s+(?:url\()?[\"']?(?:https?:)?//[^\"')]*"
)


def on_post_build(config: Any) -> None:
    """Raises for the first page or style sheet that loads something from elsewhere."""
    for path in sorted(Path(config.site_dir).rglob("*")):
        if path.suffix in (".html", ".css"):
            found = LOADS.search(path.read_text())
            if found:
                raise PluginError(f"{path.relative_to(config.site_dir)} loads {found[0]}")
