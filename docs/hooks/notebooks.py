"""Scripts of docs/ in jupytext's percent format become pages, with what they print and draw.

A script runs as a notebook when the site is built; not with `extra: {execute: false}`. What it came
to is kept in .cache/docs/ until the script or the package changes.
"""

import base64
import hashlib
from importlib import metadata
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient

SECONDS = 3600  # that a cell may take


def on_files(files: Files, config: Any) -> Files:
    """Adds the page of every script, and its figures."""
    read = executed if config.extra.get("execute", True) else jupytext.read
    for script in sorted(Path(config.docs_dir).glob("*.py")):
        text, figures = rendered(read(script), script.stem)
        files.append(File.generated(config, f"{script.stem}.md", content=text))
        for name, content in figures.items():
            files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """A link to a script leads to its page."""
    for script in Path(config.docs_dir).glob("*.py"):
        markdown = markdown.replace(f"]({script.name}", f"]({script.stem}.md")
    return markdown


def executed(script: Path) -> Any:
    """The notebook of a script with its outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails; the build ends.
    """
    root = script.parents[1]
    kept = root / ".cache" / "docs" / f"{script.stem}-{digest_of(script, root)}.ipynb"
    if kept.is_file():
        return nbformat.read(kept, as_version=4)
    notebook = jupytext.read(script)
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(root)}},
    )
    client.execute()
    kept.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, kept)
    return notebook


def digest_of(script: Path, root: Path) -> str:
    """Of the script, of the package and of the JAX that runs it."""
    made_of = [script, *sorted((root / "d2m_jax").rglob("*.py"))]
    parts = [hashlib.sha256(path.read_bytes()).digest() for path in made_of]
    return hashlib.sha256(b"".join([*parts, metadata.version("jax").encode()])).hexdigest()[:16]


def rendered(notebook: Any, name: str) -> tuple[str, dict[str, bytes]]:
    """Markdown of a notebook, and its figures by the address of their file."""
    parts: list[str] = []
    figures: dict[str, bytes] = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        if cell.source.strip():
            parts.append(f"```python\n{cell.source}\n```")
        for output in joined(cell.outputs):
            parts.append(shown(output, f"{name}_files", figures))
    return "\n\n".join(part for part in parts if part) + "\n", figures


def joined(outputs: list[Any]) -> list[Any]:
    """What was printed in one go; it may have come in pieces."""
    whole: list[Any] = []
    for output in outputs:
        is_more = whole and output.output_type == whole[-1].output_type == "stream"
        if is_more and output.name == whole[-1].name:
            text = whole[-1].text + output.text
            whole[-1] = nbformat.from_dict({**whole[-1], "text": text})
        else:
            whole.append(output)
    return whole


def shown(output: Any, folder: str, figures: dict[str, bytes]) -> str:
    """Markdown of one output: a table, a figure, or what was printed; warnings are left out."""
    if output.output_type == "stream":
        return printed(output.text) if output.name == "stdout" else ""
    data = output.get("data", {})
    if "image/png" in data:
        address = f"{folder}/{len(figures) + 1}.png"
        figures[address] = base64.b64decode(data["image/png"])
        return f"![figure]({address})"
    if "text/html" in data:
        return f'<div class="frame">{"".join(data["text/html"])}</div>'
    return printed(data.get("text/plain", ""))


def printed(text: str) -> str:
    """What was printed, apart from the code."""
    return f"```{{.text .out}}\n{text.rstrip()}\n```" if text.strip() else ""
