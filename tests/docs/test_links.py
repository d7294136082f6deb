"""Every relative link of the documents leads somewhere, and so does its anchor."""

import pytest

from tests.docs.pages import DOCS, PAGES, SCRIPTS, anchor, anchors, links, name


def broken(page):
    for link in links(page):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, wanted = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        is_page = target.suffix == ".md" and target.exists()
        if not target.exists() or (wanted and is_page and wanted not in anchors(target)):
            yield link


@pytest.mark.parametrize("page", [*PAGES, *SCRIPTS], ids=name)
def test_links_lead_somewhere(page):
    assert list(broken(page)) == []


def test_the_checker_notices(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One, two: `three`\n[a](#one-two-three) [b](no.md) [c](#two)\n`[d](none)`\n")
    assert list(broken(page)) == ["no.md", "#two"]
    assert anchor("Disputes: a new vote, or bisection") == "disputes-a-new-vote-or-bisection"


def test_every_page_is_in_the_navigation():
    listed = (DOCS.parent / "mkdocs.yml").read_text()
    pages = [page.relative_to(DOCS) for page in [*DOCS.rglob("*.md"), *SCRIPTS]]
    assert len(pages) > 40
    assert [str(page) for page in pages if f"{page.with_suffix('.md')}\n" not in listed] == []
