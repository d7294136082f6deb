"""The ledger against its smart contract; all of it is skipped where there is no EVM."""

import importlib.util

import pytest

if not all(importlib.util.find_spec(name) for name in ("vyper", "eth", "boa")):
    WHY = "the extra `evm` is not installed: pip install vyper titanoboa"
    pytest.skip(WHY, allow_module_level=True)
