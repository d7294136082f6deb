"""The site builds in strict mode without a network, with every page; scripts are not run here."""

import importlib.util
import re

import pytest

from tests.conftest import ROOT
from tests.docs.pages import DOCS, SCRIPTS

pytest.importorskip("mkdocs", reason="the site needs docs/requirements.txt")
pytest.importorskip("mkdocstrings")
pytest.importorskip("jupytext")


def hook(name):
    spec = importlib.util.spec_from_file_location(f"hook_{name}", DOCS / "hooks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("D2M_DOCS_EXECUTE", "false")
        config = load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(folder))
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
    return folder


@pytest.mark.slow
def test_every_page_is_built(site):
    for page in [*DOCS.rglob("*.md"), *SCRIPTS]:
        assert (site / page.relative_to(DOCS)).with_suffix(".html").is_file()


@pytest.mark.slow
def test_scripts_and_files_outside_are_pages(site):
    tour = (site / "tour.html").read_text()
    assert "first_experiment.html" in tour and "make_market" in tour
    cookbook = (site / "cookbook.html").read_text()
    assert "source/examples/tables.py.html" in cookbook
    assert (site / "source/examples/tables.py.html").is_file()
    assert not (site / "hooks").exists()


@pytest.mark.slow
def test_formulas_need_no_script(site):
    page = (site / "mechanisms.html").read_text()
    assert page.count("<math") > 8 and "arithmatex" not in page


@pytest.mark.slow
def test_tables_of_names_come_from_the_code(site):
    page = (site / "names.html").read_text()
    for name in ("alie", "corrected_osmd", "hparams", "spec", "exponential"):
        assert f"<code>{name}" in page
    assert "<!-- parts -->" not in page


@pytest.mark.slow
def test_the_api_has_every_room_and_its_functions(site):
    rooms = {path.parent.name for path in (ROOT / "d2m_jax").glob("*/__init__.py")} - {"cli"}
    pages = {path.stem for path in (DOCS / "api").glob("*.md")} - {"index"}
    assert pages == rooms
    assert 'id="d2m_jax.aggregation.krum"' in (site / "api/aggregation.html").read_text()
    config = (site / "api/config.html").read_text()  # fields with the comments behind them
    assert "that train in a round" in config and "num_sampled" in config
    assert 'id="d2m_jax.market.engine.make_market"' in (site / "api/market.html").read_text()


def test_what_a_notebook_prints_and_draws_is_in_its_page():
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

    outputs = [
        new_output("stream", name="stdout", text="one\n"),
        new_output("stream", name="stdout", text="two\n"),
        new_output("stream", name="stderr", text="a warning"),
        new_output("display_data", data={"image/png": "iVBORw0KGgo="}),
        new_output("execute_result", data={"text/html": "<table></table>", "text/plain": "x"}),
    ]
    cells = [new_markdown_cell("# Title"), new_code_cell("x", outputs=outputs)]
    text, figures = hook("notebooks").rendered(new_notebook(cells=cells), "page")
    assert text.startswith("# Title\n\n```python\nx\n```\n\n```{.text .out}\none\ntwo\n```\n\n")
    assert "warning" not in text and '<div class="frame"><table></table></div>' in text
    assert list(figures) == ["page_files/1.png"] and "](page_files/1.png)" in text


def test_a_page_that_loads_from_elsewhere_is_refused(tmp_path):
    from mkdocs.exceptions import PluginError

    check = hook("offline").on_post_build
    config = type("Config", (), {"site_dir": str(tmp_path)})
    (tmp_path / "a.html").write_text('<a href="https://example.org">a link is fine</a>')
    check(config)
    for loads in (
        '<script src="https://cdn.example.org/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/a.css">',
        '<img alt="" src="http://example.org/a.png">',
    ):
        (tmp_path / "b.html").write_text(loads)
        with pytest.raises(PluginError, match=re.escape("b.html loads")):
            check(config)
