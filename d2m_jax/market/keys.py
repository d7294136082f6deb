"""Every random draw of a market has a key with a name; none is picked by its place."""

from typing import NamedTuple

import jax

from d2m_jax.core.types import Key

_OPENINGS = 2**31 - 1  # folded in for the openings of units; no block has this number


class OpeningKeys(NamedTuple):
    """Of what happens once, before the first round."""

    roles: Key
    auction: Key
    model: Key
    run: Key  # of everything later: `MarketState.key`


class PurposeKeys(NamedTuple):
    """Of what happens later."""

    learning: Key  # of the rounds, see `round_keys`
    votes: Key  # of CONE; the round is folded in
    closing: Key  # of the verification and the disputes


class RoundKeys(NamedTuple):
    """Of one round of learning."""

    schedule: Key  # the same in every round: schedules fold the round in themselves
    sample: Key
    participation: Key
    train: Key  # a seller's number is folded in
    attack: Key
    rule: Key
    parts: Key  # of partial models
    noise: Key  # of privacy per update; a seller's number is folded in
    availability: Key  # the same in every round, as that of the schedule
    delay: Key  # the same in every round


def opening_keys(key: Key) -> OpeningKeys:
    """The keys of the opening, from the key of the run."""
    return OpeningKeys(*jax.random.split(key, 4))


def openings_key(keys: OpeningKeys) -> Key:
    """Of the examples that bonded units have to show, drawn after the match."""
    return jax.random.fold_in(keys.auction, _OPENINGS)


def job_keys(num_jobs: int, keys: OpeningKeys) -> OpeningKeys:
    """The keys of what each job has of its own, with a leading axis of jobs if there are several.

    Roles and auctions are of all jobs together: theirs stay as they are.
    """
    if num_jobs == 1:
        return keys
    model, run = jax.random.split(keys.model, num_jobs), jax.random.split(keys.run, num_jobs)
    return keys._replace(model=model, run=run)


def purpose_keys(run: Key) -> PurposeKeys:
    """The keys of the later purposes, from `OpeningKeys.run`."""
    return PurposeKeys(*jax.random.split(run, 3))


def vote_key(run: Key, round_index: jax.Array) -> Key:
    """The key of CONE's vote on one round."""
    return jax.random.fold_in(purpose_keys(run).votes, round_index)


def round_keys(run: Key, round_index: jax.Array, num_sellers: int) -> RoundKeys:
    """The keys of one round; they depend on its number, not on how many rounds there are."""
    schedule, rounds = jax.random.split(purpose_keys(run).learning)
    draws = jax.random.split(jax.random.fold_in(rounds, round_index), 5)
    sample, participation, train, attack, rule = draws
    nobody = num_sellers  # folds in the number that no seller has
    return RoundKeys(
        schedule,
        sample,
        participation,
        train,
        attack,
        rule,
        parts=jax.random.fold_in(participation, nobody),
        noise=jax.random.fold_in(train, nobody),
        availability=jax.random.fold_in(schedule, nobody),
        delay=jax.random.fold_in(schedule, nobody + 1),
    )
