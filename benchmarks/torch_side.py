"""The same work in plain torch, where it is installed: what a user would write without a library.

Not here: ByzFL (`vs_byzfl.py`, `byzfl_rounds.py`).
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

SIZES = {"mlp": 79_510, "mnist_cnn": 431_080}  # parameters of the models


def about() -> str:
    if torch is None:
        return "no torch"
    return f"torch {torch.__version__} on {place()}"


def place() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def krum(x: Any, f: int) -> Any:
    n = x.shape[0]
    squares = torch.cdist(x, x).square()
    scores = squares.sort(dim=1).values[:, 1 : n - f - 1].sum(dim=1)
    return x[scores.argmin()]


def nnm(x: Any, f: int) -> Any:
    near = torch.cdist(x, x).topk(x.shape[0] - f, largest=False).indices
    return x[near].mean(dim=1)


RULES: dict[str, Callable[[Any, int], Any]] = {
    "mean": lambda x, f: x.mean(dim=0),
    "median": lambda x, f: x.median(dim=0).values,
    "trimmed mean": lambda x, f: x.sort(dim=0).values[f : x.shape[0] - f].mean(dim=0),
    "Krum": krum,
    "NNM": nnm,
}
MOST_NUMBERS = 2**31  # of what a rule gathers at once


def rule_ms(name: str, shape: tuple[int, int], f: int, repeats: int) -> float | None:
    """Median milliseconds of a rule; None without torch, or where it would gather too much."""
    if torch is None or name not in RULES:
        return None
    if name == "NNM" and shape[0] * (shape[0] - f) * shape[1] > MOST_NUMBERS:
        return None
    x = torch.randn(*shape, device=place())
    return median_ms(lambda: RULES[name](x, f), repeats)


def network(model: str) -> Any:
    nn = torch.nn
    if model == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
    )  # fmt: skip


def round_ms(model: str, sellers: int, batch: int, repeats: int) -> float | None:
    """Median milliseconds of a round: all sellers' gradients under one vmap, their mean, a step."""
    if torch is None:
        return None
    net = network(model).to(place())
    assert sum(p.numel() for p in net.parameters()) == SIZES[model]
    params = {name: value.detach() for name, value in net.named_parameters()}
    x = torch.randn(sellers, batch, 1, 28, 28, device=place())
    y = torch.randint(0, 10, (sellers, batch), device=place())

    def loss(params: Any, x: Any, y: Any) -> Any:
        logits = torch.func.functional_call(net, params, (x,))
        return torch.nn.functional.cross_entropy(logits, y)

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))

    def one() -> None:
        found = gradients(params, x, y)
        for name, value in found.items():
            params[name] = params[name] - 0.1 * value.mean(dim=0)

    return median_ms(one, repeats)


def median_ms(fn: Callable[[], Any], repeats: int) -> float:
    def once() -> float:
        start = time.perf_counter()
        fn()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - start

    once()
    return 1e3 * statistics.median(once() for _ in range(repeats))
