"""What a simulated market did, done again on a chain by single actions of many accounts."""

import types

import jax
import jax.numpy as jnp
import numpy as np

from d2m_jax import cone, sampling
from d2m_jax.cone import Behaviour
from d2m_jax.cone.params import larger
from d2m_jax.ledger import Chain, Kind, Laws, Phase, Reason, electorate, make_action, run_trace
from d2m_jax.ledger.contents import commitment_of, round_content, verification_content
from d2m_jax.ledger.mixing import mix_all
from d2m_jax.ledger.votes_state import Stage, make_terms, new_votes
from d2m_jax.market.auction import EXAMPLES
from d2m_jax.market.closing import in_bps
from d2m_jax.market.keys import purpose_keys, vote_key
from d2m_jax.market.seats import timetable

CHUNK = 48  # actions of one compiled trace
MAY_FAIL = (Kind.SETTLE, Kind.TIME_OUT)
trace = jax.jit(run_trace)
digest_of = jax.jit(mix_all)


@jax.jit
def promises_of(job, serial, attempt, digests, salts):
    """[C]: what every node commits to."""
    row = types.SimpleNamespace(serial=serial, attempt=attempt)
    nodes = jnp.arange(digests.shape[0], dtype=jnp.int32)
    return jax.vmap(commitment_of, (None, None, 0, 0, 0))(row, job, nodes, digests, salts)


class Replay:
    """A chain, what is to be done on it, and who is in the market.

    Args:
        market: of the simulation.
        hparams: its numbers.
        state: before the first round.
    """

    def __init__(self, market, hparams, state):
        self.layout, self.spec, self.hparams = market.layout, market.spec, hparams
        self.rules, self.roles = market.parts.rules(hparams), jax.device_get(state.roles)
        spec, self.queue, self.turns = market.spec, [], 0
        size = spec.num_jobs, spec.num_nodes, spec.num_sellers
        self.chain = Chain(state.ledger, new_votes(*size))
        self.names = {"schedule": spec.set_schedule, "sortition": spec.sortition}
        voters = cone.max_voters(spec.sortition, spec.num_nodes)
        attempts = cone.default_attempts(spec.set_schedule, voters, hparams.cone)
        self.draw = jax.jit(self._draw, static_argnums=3)
        self.attempts, self.contents = attempts, {}
        self.agree(0)

    def agree(self, more_seats):
        """Terms of the votes in which a dispute has so many more seats."""
        tables = cone.vote_tables(
            self.spec.num_nodes, self.hparams.cone, **self.names,
            stop_rule=self.spec.stop_rule, more_seats=more_seats,
        )  # fmt: skip
        self.laws = Laws(self.rules, make_terms(tables, num_rounds=self.spec.num_rounds))

    def _draw(self, key, pledges, params, attempts):
        names = self.names["schedule"], self.names["sortition"]
        sets = cone.draw_sets(key, pledges > 0, params, attempts, *names, pledges)
        if sets.votes is not None:
            return sets.votes
        attempts = jnp.arange(attempts, dtype=jnp.int32)
        return (sets.seat[None] == attempts[:, None, None]).any(axis=1).astype(jnp.int32)

    def seats_of(self, key, job, params=None):
        """[A, C] lots of every node in every set of the job's next vote."""
        pledges = electorate(self.chain.ledger, job)
        params = self.hparams.cone if params is None else params
        return np.asarray(self.draw(key, pledges, params, self.attempts))

    def do(self, kind, actor=None, **fields):
        """An action, by whoever's turn it is unless it matters."""
        self.turns += 1
        if actor is None:
            actor = 7 * self.turns % self.layout.num_accounts
        self.queue.append(jax.device_get(make_action(self.layout, kind, actor=actor, **fields)))

    def run(self):
        """Does what is to be done; every action is accepted."""
        while self.queue:
            some, self.queue = self.queue[:CHUNK], self.queue[CHUNK:]
            idle = jax.device_get(make_action(self.layout, Kind.WAIT))
            full = [*some, *[idle] * (CHUNK - len(some))]
            actions = jax.tree.map(lambda *leaves: np.stack(leaves), *full)
            self.chain, receipts = trace(self.chain, self.laws, actions)
            for action, receipt in zip(some, np.asarray(receipts)):
                kind = Kind(int(action.kind))
                assert receipt == Reason.OK or kind in MAY_FAIL, (kind, Reason(int(receipt)))

    def unit(self, job):
        """One slot of the votes."""
        self.run()
        return jax.tree.map(lambda x: np.asarray(x)[job], self.chain.votes)

    def digests(self, job, unit):
        """[C]: what each node reveals, 0 nothing: by its behaviour alone."""
        right, wrong = (int(digest_of(x)) for x in self.contents[job, unit])
        nodes = 100_000 + np.arange(self.spec.num_nodes)
        kinds = [Behaviour.COLLUDE, Behaviour.LONE_LIAR, Behaviour.SILENT]
        found = np.select([self.roles.behaviour == k for k in kinds], [wrong, nodes, 0], right)
        return found.astype(np.int32)

    def open_unit(self, job):
        self.do(Kind.OPEN_UNIT, job=job)

    def commit(self, job, task, seats):
        """The next set is drawn and commits; returns who it is."""
        self.do(Kind.DRAW, job=job, payload=seats)
        unit = self.unit(job)
        new = np.flatnonzero(unit.first_set == unit.attempt)
        salts = 31 * np.arange(self.spec.num_nodes, dtype=np.int32) + 5
        digests = self.digests(job, task)
        promised = promises_of(job, unit.serial, unit.attempt, digests, salts)
        for node in new.tolist():
            self.do(Kind.COMMIT_VOTE, self.layout.node(node), job=job, value=int(promised[node]))
        return [(node, int(digests[node]), int(salts[node])) for node in new if digests[node]]

    def reveal(self, job, ballots):
        for node, digest, salt in ballots:
            self.do(
                Kind.REVEAL_VOTE, self.layout.node(int(node)), job=job, value=digest, extra=[salt]
            )

    def hold_sets(self, votes):
        """One set of each of these votes at the same time: two blocks. [(job, task, seats)]."""
        sets = [(job, self.commit(job, task, seats)) for job, task, seats in votes]
        self.do(Kind.WAIT, amount=1)
        for job, ballots in sets:
            self.reveal(job, ballots)
        self.do(Kind.WAIT, amount=1)
        for job, _ in sets:
            self.do(Kind.TALLY, job=job)
        self.run()

    def tell(self, job, task):
        """The content of what was accepted, if something was."""
        accepted = int(self.unit(job).accepted)
        for content in self.contents[job, task]:
            if accepted and accepted == int(digest_of(content)):
                self.do(Kind.OPEN_CONTENT, job=job, payload=content)

    def vote(self, job, task, key, params=None):
        """Sets until the vote is over; how many."""
        self.open_unit(job)
        seats, used = self.seats_of(key, job, params), 0
        while self.unit(job).stage == Stage.OPEN:
            self.hold_sets([(job, task, seats[used])])
            used += 1
        self.tell(job, task)
        return used

    def play_round(self, state, info):
        """A round of every job, in the blocks that the simulation says; then it is booked."""
        jobs = range(self.spec.num_jobs)
        each = (lambda x, j: x[j]) if self.spec.num_jobs > 1 else (lambda x, j: x)
        unit, running = int(state.round), self.running()
        for job in jobs:
            mine = jax.tree.map(lambda x: np.asarray(each(x, job)), info)  # noqa: B023
            who = mine.sellers[mine.present]
            verdicts = np.zeros(self.spec.num_sellers, np.int32)
            verdicts[who] = np.where(mine.accepted[mine.present], 1, 2)
            self.contents[job, unit] = (
                round_content(100 + unit, verdicts),
                round_content(200 + unit, np.zeros_like(verdicts)),
            )
        keys = [vote_key(each(state.key, job), state.round) for job in jobs]
        seats = np.stack([self.seats_of(key, job) for job, key in enumerate(keys)])
        used = np.asarray(info.attempts).reshape(-1)
        table = timetable(jnp.asarray(seats > 0), jnp.asarray(used), unit % len(jobs))
        for job in running:
            self.open_unit(job)
        meets = np.asarray(table.meets)
        for now in range(int(table.last)):
            now_meeting = [(j, unit, seats[j, a]) for j, a in np.argwhere(meets == now)]
            self.hold_sets(now_meeting) if now_meeting else self.do(Kind.WAIT, amount=2)
        for job in running:
            assert self.unit(job).attempt == used[job]
            self.tell(job, unit)
            self.do(Kind.BOOK_ROUND, job=job)
        self.run()

    def running(self):
        phase = np.asarray(self.chain.ledger.jobs.phase)
        return np.flatnonzero((phase == Phase.MATCHED) | (phase == Phase.TRAINING)).tolist()

    def finish(self, state, outcome):
        """Verification and disputes of every job, then the money."""
        several = self.spec.num_jobs > 1
        for job in range(self.spec.num_jobs):
            own = (lambda x: x[job]) if several else (lambda x: x)  # noqa: B023
            closing, learning = jax.tree.map(own, (outcome.closing, state.learning.defence))
            self.close(job, purpose_keys(own(state.key)).closing, closing, learning)
        self.do(Kind.WAIT, amount=int(self.rules.challenge_window))
        for job in range(self.spec.num_jobs):
            self.do(Kind.SETTLE, job=job)
        self.do(Kind.WAIT, amount=int(self.rules.timeout))
        for job in range(self.spec.num_jobs):
            self.do(Kind.TIME_OUT, job=job)
        self.run()

    def close(self, job, key, closing, defence):
        """One job up to the end of its disputes."""
        jobs, unit = self.chain.ledger.jobs, self.spec.num_rounds
        if jobs.phase[job] != Phase.VERIFY:
            return
        matched = np.asarray(jobs.matched[job])
        harm = np.asarray(sampling.slashable(defence)) & matched
        rest = 0, int(jobs.model[job]), int(jobs.metric[job]), np.asarray(closing.weights), harm
        metrics = in_bps(closing.metric), in_bps(self.hparams.conduct.false_metric)
        self.contents[job, unit] = tuple(verification_content(x, *rest) for x in metrics)
        voting, _, again = jax.random.split(key, 3)
        content, salt = EXAMPLES
        buyer = int(jobs.buyer[job])
        self.do(Kind.OPEN_METRIC, buyer, job=job, value=content, extra=[salt])
        self.vote(job, unit, voting)
        self.do(Kind.BOOK_VERIFICATION, job=job)
        seats = int(self.unit(job).drawn)
        self.agree(seats)
        if self.chain.ledger.jobs.phase[job] == Phase.CHALLENGE:
            self.dispute_all(job, again, larger(self.hparams.cone, seats, self.spec.num_nodes))

    def dispute_all(self, job, key, params):
        """Who loses by the metric disputes every unit in which the lie was accepted."""
        results = np.asarray(self.chain.ledger.jobs.results[job])
        wrong = [
            unit for unit, digest in enumerate(results.tolist())
            if digest not in (0, int(digest_of(self.contents[job, unit][0])))
        ]  # fmt: skip
        loser = self.loser(job)
        for unit in wrong:
            row = jax.tree.map(lambda x: np.asarray(x)[job], self.chain.ledger.jobs)
            bond = max(1, int(row.price) * int(self.rules.bond_bps) // 10_000)
            if row.phase != Phase.CHALLENGE or self.chain.ledger.balances[loser] < bond:
                return
            self.do(Kind.OPEN_DISPUTE, loser, job=job, value=unit)
            self.run()
            used = self.vote(job, unit, jax.random.fold_in(key, unit), params)
            blocks = used * (60 + 2 * 12) / 12  # seconds of a set over those of a block
            self.do(Kind.WAIT, amount=int(np.ceil(blocks)) - 2 * used)
            self.do(Kind.BOOK_DISPUTE, job=job)
            self.run()

    def loser(self, job):
        """The buyer when tau is reached, else the first seller that does not side with liars."""
        row = jax.tree.map(lambda x: np.asarray(x)[job], self.chain.ledger.jobs)
        if row.metric_bps >= row.tau_bps:
            return int(row.buyer)
        honest = row.matched & ~np.asarray(self.roles.bad_seller)
        return int(self.layout.seller(int(np.argmax(honest))))
