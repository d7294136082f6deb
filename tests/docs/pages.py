"""What the tests of the documents read: pages, their links, blocks and commands."""

import re
from pathlib import Path

from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
SCRIPTS = sorted(DOCS.glob("*.py"))
ELSEWHERE = {
    "ledger",
    "cone",
    "votes",
    "jobs",
    "sweeps",
    "columns",
    "zoo",
}  # have tests of their own
CHECKED = [page for page in PAGES if not (page.parent == DOCS and page.stem in ELSEWHERE)]

FENCE = re.compile(r"^(`{3,})(\S*)[^\n]*\n(.*?)^\1\s*$", re.S | re.M)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s*(\S+)", re.M)
HEADING = re.compile(r"^#+\s+(.*)$", re.M)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(text: str) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", text))


def prose_of(page: Path) -> str:
    """A page, or the Markdown cells of a script, without code."""
    text = page.read_text()
    if page.suffix == ".py":
        cells = re.findall(r"# %% \[markdown\]\n((?:#.*\n)+)", text)
        text = "\n".join(re.sub(r"^# ?", "", cell, flags=re.M) for cell in cells)
    return prose(text)


def links(page: Path) -> list[str]:
    return [first or second for first, second in LINK.findall(prose_of(page))]


def anchors(page: Path) -> set[str]:
    """The anchors that a site makes of the headings of a page."""
    headings = HEADING.findall(FENCE.sub("", page.read_text()))
    return {anchor(heading) for heading in headings}


def anchor(heading: str) -> str:
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of code of a language."""
    return [code for _, kind, code in FENCE.findall(page.read_text()) if kind == language]


def commands(page: Path) -> list[str]:
    """Every command of the blocks for a shell, with its comment; continued lines are joined."""
    found = [code for kind in ("bash", "sh", "") for code in blocks(page, kind)]
    lines = "\n".join(found).replace("\\\n", " ").splitlines()
    return [line for line in lines if re.match(r"(d2m|python|make|pip|srun|gcloud) ", line)]
