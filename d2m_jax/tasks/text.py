"""Networks for texts: the next character, and whole texts by class.

Tokens are integers. Token 0 pads texts that are looked at as a whole (`text_bow`, `text_cnn`); the
next-character model has no padding, its labels may be negative where nothing follows.
Read next: `adapters.py`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax.core import backend
from d2m_jax.tasks.adapters import from_flax
from d2m_jax.tasks.heads import Head, head_of
from d2m_jax.tasks.losses import cross_entropy
from d2m_jax.tasks.measures import METRICS
from d2m_jax.tasks.problem import Problem
from d2m_jax.tasks.task import Task


class CharLSTM(nn.Module):
    """One long short-term memory layer over embedded tokens, a prediction at every position."""

    vocabulary: int
    num_classes: int
    embedding: int
    hidden: int

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Returns logits [B, S, L] of tokens [B, S] int32."""
        x = nn.Embed(self.vocabulary, self.embedding)(tokens)
        x = nn.RNN(nn.OptimizedLSTMCell(self.hidden))(x)
        return nn.Dense(self.num_classes)(x)


class BagOfWords(nn.Module):
    """The mean embedding of the words of a text, and a linear layer."""

    vocabulary: int
    width: int
    embedding: int

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Returns outputs [B, O] of tokens [B, S] int32, 0 where there is no word."""
        words, known = _embedded(self.vocabulary, self.embedding, tokens)
        mean = words.sum(1) / jnp.maximum(known.sum(1), 1)
        return nn.Dense(self.width)(mean)


class WordCNN(nn.Module):
    """Windows of neighbouring words, the maximum of each filter over the text, a linear layer.

    Source: Kim, Convolutional Neural Networks for Sentence Classification, 2014; a window's
    product is one matmul (`layers.py` says why).
    """

    vocabulary: int
    width: int
    embedding: int
    filters: int
    windows: tuple[int, ...] = (2, 3)

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Returns outputs [B, O] of tokens [B, S] int32, 0 where there is no word."""
        words, known = _embedded(self.vocabulary, self.embedding, tokens)
        pooled = [
            (nn.relu(nn.Dense(self.filters)(_neighbours(words, window))) * known).max(1)
            for window in self.windows
        ]
        return nn.Dense(self.width)(jnp.concatenate(pooled, -1))


def char_lstm(problem: Problem, *, embedding: int = 8, hidden: int = 128) -> Task:
    """The next character by an LSTM: 79,049 parameters for 65 characters.

    On a CPU one seller's loop after the other is 2.3 times as fast as all at once.

    Raises:
        ValueError: the labels are not one class per position.
    """
    vocabulary = _vocabulary("char_lstm", problem)
    if problem.label_shape != problem.input_shape or problem.num_classes < 2:
        raise ValueError(
            "char_lstm wants a class for every position of a text, but inputs of an example are "
            f"{problem.input_shape} and labels {problem.label_shape}"
        )
    module = CharLSTM(vocabulary, problem.num_classes, embedding, hidden)
    shape = (*problem.label_shape, problem.num_classes)
    head = Head(shape, cross_entropy, METRICS["accuracy"], problem.num_classes)
    return _task("char_lstm", module, problem, head, backend.choices().map_conv)


def text_bow(problem: Problem, *, embedding: int = 32) -> Task:
    """A text as the mean of its words' embeddings: 64,198 parameters for 2,000 words, 6 classes."""
    head, vocabulary = head_of(problem), _vocabulary("text_bow", problem)
    module = BagOfWords(vocabulary, head.width, embedding)
    return _task("text_bow", module, problem, head, backend.choices().map_dense)


def text_cnn(problem: Problem, *, embedding: int = 32, filters: int = 64) -> Task:
    """A text by its pairs and triples of words: 75,142 parameters for 2,000 words, 6 classes."""
    head, vocabulary = head_of(problem), _vocabulary("text_cnn", problem)
    module = WordCNN(vocabulary, head.width, embedding, filters)
    return _task("text_cnn", module, problem, head, backend.choices().map_conv)


def _task(name: str, module: nn.Module, problem: Problem, head: Head, how: str) -> Task:
    classes = problem.num_classes
    dtype = np.dtype(np.int32 if classes else np.float32)
    sample = {
        "inputs": jax.ShapeDtypeStruct((1, *problem.input_shape), problem.input_dtype),
        "labels": jax.ShapeDtypeStruct((1, *problem.label_shape), dtype),
    }
    task = from_flax(
        module,
        sample=sample,
        loss=head.loss,
        metric=head.metric,
        num_classes=head.num_classes,
        name=name,
    )
    return task._replace(kind=problem.kind, map_sellers=how)


def _vocabulary(name: str, problem: Problem) -> int:
    tokens = np.issubdtype(problem.input_dtype, np.integer) and len(problem.input_shape) == 1
    if problem.vocabulary < 2 or not tokens:
        raise ValueError(
            f"{name} takes texts, integer tokens [S] of a known vocabulary, and not inputs "
            f"{problem.input_shape} of {problem.input_dtype} with {problem.vocabulary} tokens"
        )
    return problem.vocabulary


def _embedded(vocabulary: int, width: int, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Embeddings [B, S, E] that are 0 where there is no word, and where there is one [B, S, 1]."""
    table = nn.Embed(vocabulary, width, embedding_init=nn.initializers.normal(0.3))
    words = table(tokens)
    known = (tokens > 0).astype(words.dtype)[..., None]
    return words * known, known


def _neighbours(words: jax.Array, window: int) -> jax.Array:
    """Each word with the `window` - 1 that follow, zeros after the last: [B, S, window * E]."""
    padded = jnp.pad(words, ((0, 0), (0, window - 1), (0, 0)))
    return jnp.concatenate([padded[:, i : i + words.shape[1]] for i in range(window)], -1)
