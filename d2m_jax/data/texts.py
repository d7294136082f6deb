"""Named texts: Shakespeare's roles (the next character) and TREC's questions (six classes).

Host only. Not here: who looks them up (`sources.py`).
"""

import pathlib
import re
from collections import Counter

import numpy as np

from d2m_jax.core.dataset import DataError, Dataset
from d2m_jax.data.archives import find_all
from d2m_jax.data.checks import client_codes
from d2m_jax.data.overlap import UNKNOWN

WINDOW = 40  # characters of an example of Shakespeare
_MIN_ROLE = 2000  # characters of a role that is a client
_TEST_SHARE = 0.2
_SHAKESPEARE = (1_115_394, 65, 99)  # characters, distinct ones, roles of at least 2,000

VOCABULARY = 2000  # tokens of TREC, padding and unknown included
QUESTION = 20  # words; longer ones are cut
SPECIAL = ("<padding>", UNKNOWN)  # tokens 0 and 1
TREC_FILES = ("train_5500.label", "TREC_10.label")
_TREC_NAMES = {
    "ABBR": "abbreviation",
    "DESC": "description",
    "ENTY": "entity",
    "HUM": "human",
    "LOC": "location",
    "NUM": "number",
}
_TREC_COUNTS = ((86, 1162, 1250, 1223, 835, 896), (9, 138, 94, 65, 81, 113))


def read_shakespeare(folder: pathlib.Path) -> Dataset:
    """Reads windows of 40 characters of 99 roles; the label of a position is the next character.

    A role's speeches follow each other in the order of the plays. It is cut into windows of 41
    characters that do not overlap; the last fifth of each role's windows is the test. Roles of
    fewer than 2,000 characters are no clients and are left out, with a note.

    Args:
        folder: with `shakespeare/input.txt` or `input.txt` itself.

    Returns:
        A `Dataset` of kind "text": inputs and labels [T, 40] int32, the classes are the 65
        characters, the clients the roles.

    Raises:
        DataError: the file is missing or is not the published one.

    Source: Karpathy, char-rnn, 2015 (tiny Shakespeare); roles as clients as in Caldas et al.,
    LEAF, 2018.
    """
    (path,) = find_all("shakespeare", folder, ("input.txt",))
    text = _text(path, "ascii")
    roles = _roles(text)
    kept = {role: lines for role, lines in roles.items() if len(lines) >= _MIN_ROLE}
    characters = sorted(set(text))
    seen = (len(text), len(characters), len(kept))
    if seen != _SHAKESPEARE:
        raise DataError(
            f"{path} is not the published text: its characters, distinct characters and roles of "
            f"{_MIN_ROLE} characters are {seen} instead of {_SHAKESPEARE}"
        )
    code = {character: token for token, character in enumerate(characters)}
    parts, names = [], []
    for role, lines in kept.items():
        windows = _windows(np.array([code[character] for character in lines], np.int32))
        parts.append(np.split(windows, [len(windows) - round(_TEST_SHARE * len(windows))]))
        names += [role] * len(parts[-1][0])
    train, test = (np.concatenate(side) for side in zip(*parts))
    clients, client_names = client_codes(np.array(names), "shakespeare")
    small = sum(map(len, roles.values())) - sum(map(len, kept.values()))
    return Dataset(
        name="shakespeare",
        train={"inputs": train[:, :-1], "labels": train[:, 1:]},
        test={"inputs": test[:, :-1], "labels": test[:, 1:]},
        kind="text",
        class_names=tuple(characters),
        strata=np.zeros(len(train), np.int32),
        clients=clients,
        client_names=client_names,
        notes=(
            f"{len(roles) - len(kept)} roles of fewer than {_MIN_ROLE} characters, {small} "
            "characters in all, are left out",
        ),
        columns=tuple(characters),
    )


def _roles(text: str) -> dict[str, str]:
    """Returns what each role says, speeches joined by newlines, in the order of appearance."""
    speeches: dict[str, list[str]] = {}
    for block in re.split(r"\n\n+", text.strip("\n")):
        role, _, lines = block.partition("\n")
        speeches.setdefault(role.removesuffix(":"), []).extend([lines] if lines else [])
    return {role: "\n".join(lines) for role, lines in speeches.items()}


def _windows(tokens: np.ndarray) -> np.ndarray:
    """Returns [W, 41], without overlap; what is left over at the end is less than a window."""
    count = len(tokens) // (WINDOW + 1)
    return tokens[: count * (WINDOW + 1)].reshape(count, WINDOW + 1)


def read_trec(folder: pathlib.Path) -> Dataset:
    """Reads 5,452 questions for training and 500 for the test, by what kind of answer they want.

    A question is its lower-case words as tokens, cut or padded to 20: 0 pads, 1 is a word outside
    the 1,998 most frequent ones of training (`columns` lists the words by token). Questions of
    training that are also in the test are left out of training, with a note.

    Args:
        folder: with `trec/` or the two files themselves.

    Returns:
        A `Dataset` of kind "text": inputs [T, 20] int32, six classes.

    Raises:
        DataError: a file is missing or is not the published one.

    Source: Li and Roth, Learning Question Classifiers, COLING 2002.
    """
    paths = find_all("trec", folder, TREC_FILES)
    (train, labels), (test, test_labels) = (
        _questions(path, counts) for path, counts in zip(paths, _TREC_COUNTS)
    )
    tested = {tuple(words) for words in test}
    rows = [row for row, words in enumerate(train) if tuple(words) not in tested]
    train, labels = [train[row] for row in rows], labels[rows]
    shared = sum(_TREC_COUNTS[0]) - len(rows)
    counts = Counter(word for words in train for word in words)
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[: VOCABULARY - len(SPECIAL)]
    columns = (*SPECIAL, *frequent)
    code = {word: token for token, word in enumerate(columns)}
    return Dataset(
        name="trec",
        train={"inputs": _encoded(train, code), "labels": labels},
        test={"inputs": _encoded(test, code), "labels": test_labels},
        kind="text",
        class_names=tuple(_TREC_NAMES.values()),
        strata=labels,
        notes=(f"{shared} training questions that are also in the test are left out",),
        columns=columns,
    )


def _questions(path: pathlib.Path, counts: tuple[int, ...]) -> tuple[list[list[str]], np.ndarray]:
    """Returns the words and the class [T] int32 of every question of a file."""
    kinds = list(_TREC_NAMES)
    words, labels = [], []
    for number, line in enumerate(_text(path, "latin-1").splitlines(), start=1):
        kind, _, question = line.partition(" ")
        kind = kind.partition(":")[0]
        if kind not in kinds or not question.strip():
            raise DataError(f"{path}: line {number} is no question with its kind")
        words.append(question.lower().split())
        labels.append(kinds.index(kind))
    found = tuple(np.bincount(labels, minlength=len(kinds)).tolist()) if labels else ()
    if found != counts:
        raise DataError(
            f"{path} is not the published file: its questions by kind are {found} instead of "
            f"{counts}"
        )
    return words, np.array(labels, np.int32)


def _encoded(questions: list[list[str]], code: dict[str, int]) -> np.ndarray:
    tokens = np.zeros((len(questions), QUESTION), np.int32)
    for row, words in enumerate(questions):
        kept = [code.get(word, 1) for word in words[:QUESTION]]
        tokens[row, : len(kept)] = kept
    return tokens


def _text(path: pathlib.Path, encoding: str) -> str:
    try:
        return path.read_text(encoding)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); fetch it again") from None
