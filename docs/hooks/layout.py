"""What is shown beside a page, and how early the search finds it."""

from typing import Any


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> None:
    """Text is found before the API; files of the repository are not searched.

    Pages that are alone under their tab have no list of pages beside them.
    """
    uri = page.file.src_uri
    if uri.startswith("source/"):
        page.meta["search"] = {"exclude": True}
    elif uri.startswith("api/"):
        page.meta["search"] = {"boost": 0.5}
    if page.parent is None:
        page.meta["hide"] = ["navigation"]
