"""The compiled contract and the traces that both machines have played, once per session."""

import pytest

WHY = "the extra `evm` is not installed: pip install vyper titanoboa"
vyper = pytest.importorskip("vyper", reason=WHY)
pytest.importorskip("boa", reason=WHY)

from contracts.market import compile_market
from tests.contracts.machines import NUM_TRACES, play_in_processes, play_ledger


@pytest.fixture(scope="session")
def artifact():
    return compile_market()


@pytest.fixture(scope="session")
def played(artifact):
    """NUM_TRACES traces: `traces` from the EVM, `reasons` and `states` from the ledger."""
    traces = play_in_processes(artifact, NUM_TRACES)
    reasons, states = play_ledger(traces)
    return {"traces": traces, "reasons": reasons, "states": states}
