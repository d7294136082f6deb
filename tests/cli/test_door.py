"""What comes in by the command line, and how wrong input goes out: one sentence, a status."""

import pathlib

import pytest
from absl import flags

from d2m_jax import default_config
from d2m_jax.cli import arguments, door, flag_tables, paths
from tests.conftest import ROOT

CONFIG = """
from d2m_jax import default_config

def get_config(kind="sign_flip"):
    return default_config(spec={"attack": kind})
"""


def define(values):
    flag_tables.strings(values, {"out": (None, "results folder")})
    flag_tables.integers(values, {"worlds": (4, 1, "how many")})
    flag_tables.floats(values, {"rate": (0.5, 0.0, 1.0, "how fast")})
    flag_tables.lists(values, {"pools": (["1"], "sizes")})
    flag_tables.switches(values, {"quick": "not all"})


def enter(*argv, command=lambda call: None, config="configs/digits.py", names=()):
    """Status and the `Call` that the command got."""
    calls = []

    def keep(call):
        calls.append(call)
        return command(call)

    argv = ["x.py", *map(str, argv)]
    status = door.enter(keep, argv, define=define, about="About.", config=config, names=names)
    return status, calls[0] if calls else None


def refuse(capsys, *argv, **options):
    """Status and sentence of what ends in one."""
    with pytest.raises(SystemExit) as ended:
        enter(*argv, **options)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Traceback" not in said
    return ended.value.code, said.strip()


def test_flags_names_and_configuration_arrive():
    argv = ("a", "--worlds=7", "--config.spec.num_rounds=3", "--out=o", "b", "--quick")
    status, call = enter(*argv, names=("one", "another"))
    assert status == 0 and call.names == ["a", "b"]
    assert (call.flags.worlds, call.flags.out, call.flags.quick) == (7, "o", True)
    assert call.config.spec.num_rounds == 3 and call.config.spec.attack == "sign_flip"
    assert call.file.resolve() == ROOT / "configs/digits.py"
    assert call.command == "python x.py " + " ".join(argv)
    with pytest.raises(AttributeError):
        call.config.spec.typo = 1  # locked


def test_commands_share_no_flags():
    assert enter("--worlds=7")[1].flags.worlds == 7
    assert enter()[1].flags.worlds == 4
    assert enter()[1].config.spec.num_rounds == default_config().spec.num_rounds


def test_the_file_of_the_configuration(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    for flag in (["--config=own.py"], ["--config", "own.py"], [f"--config={tmp_path}/own.py"]):
        assert enter(*flag)[1].config.spec.attack == "sign_flip"
    assert enter("--config=own.py:alie")[1].config.spec.attack == "alie"
    assert enter("--config.spec.attack=ipm", "--config=own.py")[1].config.spec.attack == "ipm"
    (tmp_path / "flags").write_text("--config=own.py:alie\n--worlds=9\n")
    call = enter("--flagfile=flags")[1]
    assert call.config.spec.attack == "alie" and call.flags.worlds == 9
    assert enter()[1].config.data.name == "digits"  # the default, from any folder
    assert enter("--config=configs/evolve.py")[1].config.spec.model == "logreg"


OWN_PART = """
from d2m_jax import default_config

def turned(key, updates, byzantine, *, strength: float = 2.0):
    return -strength * updates

def get_config():
    return default_config(spec={"attack": turned})
"""


def test_an_own_part_of_a_file_stays_or_gives_way_to_a_name(tmp_path):
    (tmp_path / "own.py").write_text(OWN_PART)
    config = f"--config={tmp_path / 'own.py'}"
    kept = enter(config, "--config.hparams.attack.turned.strength=3")[1].config
    assert kept.spec.attack.__name__ == "turned" and kept.hparams.attack.turned.strength == 3.0
    assert enter(config, "--config.spec.attack=alie")[1].config.spec.attack == "alie"


def test_a_dictionary_is_a_configuration(tmp_path):
    (tmp_path / "own.py").write_text("def get_config():\n    return {'spec': {'num_rounds': 5}}\n")
    call = enter(f"--config={tmp_path}/own.py", "--config.spec.num_rounds=6")[1]
    assert call.config.to_dict() == {"spec": {"num_rounds": 6}}


@pytest.mark.parametrize(
    ("argv", "status", "sentence"),
    [
        (["--wrlds=3"], 2, "error: unknown flag --wrlds (did you mean --worlds?)"),
        (["--worlds=many"], 2, "error: --worlds=many must be a whole number"),
        (["--worlds=0"], 2, "error: --worlds=0: 0 is not an integer in the range [1, "),
        (["--rate=fast"], 2, "error: --rate=fast must be a number"),
        (["--rate=nan"], 1, "error: --rate=nan must be finite"),
        (["--quick=perhaps"], 2, "error: --quick=perhaps must be true or false"),
        (["--out"], 2, "error: Missing value for flag --out"),
        (["there"], 2, "error: unexpected argument 'there'; flags start with --"),
        (["--config"], 2, "error: --config needs the name of a file: --config=FILE"),
        (["--config="], 2, "error: --config needs the name of a file: --config=FILE"),
        (["--config=nofile.py"], 1, "error: --config names nofile.py, and there is no such file"),
        (["--config=configs"], 1, "error: --config names the folder configs, not a Python file"),
        (["--flagfile=none"], 2, "error: ERROR:: Unable to open flagfile"),
        (
            ["--config.spec.modl=mlp"],
            1,
            "error: the configuration has no field spec.modl (did you mean spec.model?)",
        ),
        (["--config.spec.model.x=1"], 1, "error: the configuration has no field spec.model.x"),
        (
            ["--config.spec.num_rounds=few"],
            2,
            "error: --config.spec.num_rounds=few must be a whole number",
        ),
        (["--config.spec=mlp"], 2, "error: --config.spec=mlp must be a Python value"),
    ],
)
def test_wrong_input_is_one_sentence(capsys, argv, status, sentence, monkeypatch):
    monkeypatch.chdir(ROOT)
    code, said = refuse(capsys, *argv)
    assert code == status and said.startswith(sentence), said


def test_missing_names_and_a_command_without_configuration(capsys):
    assert refuse(capsys, config=None, names=("one folder",)) == (2, "error: name one folder")
    status, said = refuse(capsys, "--config=configs/digits.py", config=None)
    assert (status, said) == (2, "error: unknown flag --config")
    assert enter(config=None)[1].config.to_dict() == {}


def test_the_status_of_a_command(capsys):
    assert enter(command=lambda call: 3)[0] == 3

    def stop(call):
        raise KeyboardInterrupt

    assert refuse(capsys, command=stop) == (130, "Stopped.")


def raising(error):
    def command(call):
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("a is\n  wrong"), "error: a is wrong"),
        (ValueError(), "error: ValueError"),
        (OSError(28, "No space left on device", "/x/y"), "error: /x/y: No space left on device"),
        (OSError(27, "File too large"), "error: File too large"),
        (OverflowError("too large"), "error: too large"),
        (MemoryError(), "error: there is not enough memory."),
    ],
)
def test_errors_of_the_input_are_sentences(capsys, error, sentence):
    assert refuse(capsys, command=raising(error)) == (1, sentence)


@pytest.mark.parametrize("error", [KeyError("a"), RuntimeError("b"), AssertionError()])
def test_errors_of_the_code_keep_their_traceback(error):
    with pytest.raises(type(error)):
        enter(command=raising(error))


def test_traceback_on_demand():
    with pytest.raises(ValueError, match="wrong"):
        enter("--traceback", command=raising(ValueError("wrong")))


def test_help_explains_and_runs_nothing(capsys):
    assert enter("--help") == (0, None)
    said = capsys.readouterr().out
    assert said.startswith("About.") and "--worlds: how many [4]" in said
    assert "--config.spec.attack=" not in said
    enter("--helpfull")
    assert "  --config.spec.attack='sign_flip'" in capsys.readouterr().out


def test_paths(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.given("~/x") == tmp_path / "x" and paths.given("x~") == pathlib.Path("x~")
    assert paths.optional(None) is None and paths.optional("~") == str(tmp_path)
    with pytest.raises(ValueError, match="must not be empty"):
        paths.given("")
    monkeypatch.setattr(pathlib.Path, "expanduser", raising(RuntimeError("no home")))
    with pytest.raises(ValueError, match="home folder of '~/x' is not known: set HOME"):
        paths.given("~/x")
    monkeypatch.chdir(tmp_path)
    assert paths.shown(tmp_path / "a" / "b") == "a/b" and paths.shown("/usr/b") == "/usr/b"


def test_numbers_of_a_list():
    values, _ = arguments.parse(["x", "--pools=1,2.5"], define, None)
    assert arguments.numbers(values, "pools") == [1.0, 2.5]
    with pytest.raises(ValueError, match=r"--pools must be whole numbers, got 1,2\.5"):
        arguments.numbers(values, "pools", int, "whole numbers")
    for texts in ("nan", "-0.1", "0.5,1.1", "x"):
        values, _ = arguments.parse(["x", f"--pools={texts}"], define, None)
        with pytest.raises(ValueError, match=f"--pools must be shares, got {texts}"):
            arguments.numbers(values, "pools", arguments.share, "shares")
    values, _ = arguments.parse(["x", "--pools="], define, None)
    with pytest.raises(ValueError, match="--pools names nothing"):
        arguments.numbers(values, "pools")


def test_flags_without_a_configuration_are_parsed_alone():
    with pytest.raises(flags.Error, match="unknown flag --config"):
        arguments.parse(["x", "--config.a=1"], define, None)
