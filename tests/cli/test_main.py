"""The command `d2m`: all commands are there, and what it lists comes from the code."""

import pytest

from d2m_jax.cli import catalogue, main
from d2m_jax.cli.main import COMMANDS
from d2m_jax.config.fields import fields
from d2m_jax.config.parsing import default_config


def said(capsys, *argv):
    assert main.main(["d2m", *argv]) == 0
    return " ".join(capsys.readouterr().out.split())


def refused(capsys, *argv):
    try:
        status = main.main(["d2m", *argv])
    except SystemExit as ended:
        status = ended.code
    text = capsys.readouterr().err.strip()
    assert "\n" not in text and text.startswith("error: ")
    return status, text.removeprefix("error: ")


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command, capsys):
    assert "d2m" in said(capsys) and command in said(capsys, "help")
    assert len(said(capsys, command, "--help")) > 60


def test_a_wrong_command_names_the_nearest(capsys):
    status, text = refused(capsys, "swep")
    assert status == 2 and "did you mean 'sweep'" in text


def test_lists_are_whole_and_say_what_each_thing_is(capsys):
    kinds = catalogue.kinds()
    assert all(kind in said(capsys, "list") for kind in kinds)
    for kind, registry in kinds.items():
        text = said(capsys, "list", kind)
        for name, part in registry.items():
            assert name in text
            assert (
                part is None
                or name in ("none", "independent")
                or (catalogue.about(part) or catalogue.ABOUT_DATA[name])
            ), (kind, name)
    assert said(capsys, "list", "attack") == said(capsys, "list", "attacks")
    assert "did you mean 'attacks'" in refused(capsys, "list", "atacks")[1]


def test_every_field_of_the_configuration_is_listed_with_its_meaning(capsys):
    found = {field.path: field for field in fields()}
    assert found["hparams.learning.lr"].default == "0.1"
    assert "server" in found["hparams.learning.lr"].meaning
    assert "standard deviations" in found["hparams.attack.alie.z"].meaning
    assert {path.split(".")[0] for path in found} == set(default_config())
    assert [path for path, field in found.items() if not field.meaning] == []
    text = said(capsys, "list", "config", "tau")
    assert "hparams.tau" in text and "hparams.learning.lr " not in text


def test_a_part_shows_numbers_options_and_formula(capsys):
    text = said(capsys, "show", "attack.alie")
    for piece in (
        "m = mu + sign * z * sigma",
        "--config.spec.attack=alie",
        "--config.hparams.attack.alie.z=1.5",
        "knowledge = omniscient",
        "d2m_jax.attacks.updates",
    ):
        assert piece in text
    assert "--config.data.partition=dirichlet" in said(capsys, "show", "partition.dirichlet")
    assert "--config.data.name=trec" in said(capsys, "show", "data.trec")
    assert "name one of them" in refused(capsys, "show", "attack")[1]
    assert "did you mean 'alie'" in refused(capsys, "show", "attack.alei")[1]
    assert refused(capsys, "show") == (2, "name a part: KIND.NAME")
