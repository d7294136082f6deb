"""Deviators that learn: small policies of every role, trained by evolution on their own income.

Read in this order: `training.py`, then the roles: `buyers.py`, `nodes.py`, `sellers.py`.
"""
