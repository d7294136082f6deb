"""The court's contract for tests: compiled once."""

import functools

from contracts.court import CourtContract, compile_court


@functools.cache
def court_artifact():
    return compile_court()


def new_court(terms, artifact=None):
    """A fresh court on a chain of its own."""
    return CourtContract(artifact or court_artifact(), terms)
