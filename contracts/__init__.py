"""The ledger as a smart contract (`D2MMarket.vy`), and the Python that compiles and runs it.

Needs the extra `evm` (vyper, titanoboa). Read first: `D2MMarket.vy`, then `evm.py`, `market.py`.
"""
