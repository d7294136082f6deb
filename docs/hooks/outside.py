"""Links that leave docs/ lead to pages of the site: a file is shown, a folder is listed.

So a page reads the same in the repository and in the site, and the site needs no other server.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[#)])")
LANGUAGES = {".py": "python", ".vy": "python", ".toml": "toml", ".sh": "bash"}


def on_files(files: Files, config: Any) -> Files:
    """Adds a page for everything outside of docs/ that a page links to."""
    docs = Path(config.docs_dir)
    wanted = [
        target
        for file in files.documentation_pages()
        for target in outside(file.content_string, file.src_uri, docs)
    ]
    while wanted:
        target = wanted.pop()
        uri = page_of(target, docs.parent)
        if uri not in files.src_uris:
            content = text_of(target, docs.parent)
            files.append(File.generated(config, uri, content=content))
            wanted += outside(content, uri, docs)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turns links to files outside of docs/ into links to their pages."""
    docs, uri = Path(config.docs_dir), page.file.src_uri

    def turned(link: re.Match[str]) -> str:
        target = place(link[1], uri, docs)
        if is_outside(target, docs):
            return os.path.relpath(page_of(target, docs.parent), os.path.dirname(uri))
        if uri.startswith("source/") and target.is_relative_to(docs):
            return os.path.relpath(docs / target, (docs / uri).parent)
        return link[1]

    return LINK.sub(turned, markdown)


def place(link: str, uri: str, docs: Path) -> Path:
    """The file that a link means; that of a generated page counts from where its file lies."""
    if uri.startswith("source/"):
        at = docs.parent / PurePosixPath(uri.removeprefix("source/")).parent
    else:
        at = (docs / uri).parent
    return Path(os.path.normpath(at / link))


def is_outside(target: Path, docs: Path) -> bool:
    """Whether it is a file or folder of the repository that is no page."""
    inside = target.is_relative_to(docs) and target.suffix != ".py"
    return target.exists() and target.is_relative_to(docs.parent) and not inside


def outside(text: str, uri: str, docs: Path) -> Iterator[Path]:
    """What a page links to outside of docs/."""
    found = (place(link, uri, docs) for link in LINK.findall(text))
    return (target for target in found if is_outside(target, docs))


def page_of(target: Path, root: Path) -> str:
    """The address of its page: index.md of a folder, else the name and .md."""
    name = f"source/{target.relative_to(root).as_posix()}"
    return f"{name}/index.md" if target.is_dir() else f"{name.removesuffix('.md')}.md"


def text_of(target: Path, root: Path) -> str:
    """Its page in Markdown: a list of a folder, the text of a file."""
    name = target.relative_to(root).as_posix()
    if target.is_dir():
        lines = [f"- [{file}]({file})" for file in tracked(target)]
        return f"# {name}/\n\n" + "\n".join(lines) + "\n"
    text = target.read_text()
    if target.suffix == ".md":
        return text
    return f"# {name}\n\n````{LANGUAGES.get(target.suffix, 'text')}\n{text}````\n"


def tracked(folder: Path) -> list[str]:
    """The files that git keeps directly in a folder; all of them where there is no git."""
    command = ["git", "-C", str(folder), "ls-files", "."]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        names = [path.name for path in folder.iterdir() if path.is_file()]
    else:
        names = [name for name in found.stdout.splitlines() if "/" not in name]
    return sorted(name for name in names if name != "__init__.py")
