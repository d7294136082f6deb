"""Market and votes as smart contracts, and the Python that compiles, runs, reads and weighs them.

Needs the extra `evm` (vyper, titanoboa). Read first: `store.vy`, `D2MMarket.vy`, `D2MJobs.vy`,
`D2MVotes.vy`; then `compiler.py`, `evm.py`, `market.py`, `votes.py`, `chain.py`.
"""
