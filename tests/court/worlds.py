"""Small units of work, right and wrong claims about them, and random games."""

import random

from d2m_jax.court import game
from d2m_jax.court.steps import ONE, Op, Step, Witness, Work, before, memories, run
from d2m_jax.ledger import Reason
from tests.court.model import Slow

# 4 masses, 2 updates of 3 sellers, a model of 2, its aggregate, 2 answers, 2 labels, a count, 2
# drawn sellers, and what the pool says
START = (5, 0, 3, 2, 10, 20, 12, -7, 100, 3, 1000, -2000, 0, 0, 1, 2, 1, 3, 0, -1, -1, 0)
SEED = bytes(range(32))
PROGRAM = (
    Step(Op.DRAW, 19, start=0, size=4, seed=SEED),
    Step(Op.DRAW, 20, start=0, size=4, start2=19, size2=1, a=1, seed=SEED),
    Step(Op.TRIMMED_MEAN, 12, start=4, stride=2, size=3, a=1),
    Step(Op.SUM, 13, start=5, stride=2, size=3),
    Step(Op.AXPY, 10, start=12, size=1, a=ONE, b=-ONE // 10),
    Step(Op.AXPY, 11, start=13, size=1, a=ONE // 2, b=-ONE // 3),
    Step(Op.POOL, 21),
    Step(Op.COUNT, 18, start=14, size=2, start2=16, size2=2),
    Step(Op.HALT),
)
WORK = Work(START, PROGRAM)
POOLED = 6  # index of its POOL step
TRUTH = 4242  # what the pool's honest nodes find there


def honest(work=WORK):
    return run(work, {i: TRUTH for i, step in enumerate(work.program) if step.op == Op.POOL})


def lying(at, number=77, work=WORK):
    """A claim that is wrong from step `at` on."""
    return run(work, {**dict(honest(work).given), at: number})


def listed(ran):
    """All memories of a run."""
    return [tuple(memory.values) for memory in memories(ran.work, ran.given)]


class Trace:
    """A random game of one case, three times: pure game, slow model, and a contract if given.

    Actions are those of parties that know everything, made wrong now and then.
    """

    ACTORS = (1_011, 1_012, 1_013, 1_014)  # no precompiled contracts

    def __init__(self, seed, make_contract=None):
        self.draw = random.Random(seed)
        self.terms = random_terms(self.draw)
        self.contract = make_contract and make_contract(self.terms)
        right = listed(honest())
        assert WORK.steps[POOLED].op == Op.POOL
        stands = self.standing()
        lists = stands and listed(stands)
        self.slow = Slow(self.terms, WORK.steps, right[0], lists)
        self.court = game.Court(self.terms)
        self.tree = WORK.program_tree
        start = honest().tree.leaves[0]
        self.opening = (start, self.tree.root, WORK.depth, 5, bytes([seed % 256]) * 32)
        self.digests, self.runs, self.by_root, self.seen = [], [], {}, []
        if stands is None:
            self.case = game.case_id(*self.opening)
            self.do("open_case", *self.opening, same=OK)
        else:
            root, opener = stands.tree.root, self.ACTORS[0]
            self.case = game.case_for(*self.opening, root, opener)
            self.do("open_for", *self.opening, root, actor=opener, same=OK)
            self.do("open_for", *self.opening, root, actor=opener, same="ALREADY_DONE")
            self.runs.append(stands)

    def standing(self):
        """The claim that stands by right: none, the truth, a lie, or one of another start."""
        kind = self.draw.randrange(6)
        if kind < 2:
            return None
        if kind == 2:
            return honest(Work((9, *START[1:]), PROGRAM))
        return honest() if kind == 3 else lying(self.draw.randrange(len(WORK.steps)))

    def do(self, name, *args, actor=None, same=None):
        """The action in game and contract; `same` is what the slow model said."""
        who = () if actor is None else (actor,)
        self.court, reason = getattr(game, name)(self.court, *who, *args)
        if self.contract is not None:
            if name in ("claim", "judge"):
                receipt = getattr(self.contract, name)(actor, *args)
            else:
                receipt = self.contract.call(actor or self.ACTORS[0], name, *args)
            assert receipt == reason, (name, receipt.name, reason.name)
        if same is not None:
            assert same == reason.name, (name, same, reason.name)
        self.seen.append((name, reason))
        return reason

    def wait(self, blocks):
        self.court = game.wait(self.court, blocks)
        self.slow.block += blocks
        if self.contract is not None:
            self.contract.wait(blocks)

    def step(self):
        """What somebody might do now."""
        last = self.court.duel(len(self.court.duels))
        due = {None: "claim", game.PLAY: "play", game.JUDGE: "judge", game.OVER: "claim"}
        rare = ["claim", "play", "judge", "time_out", "close", "pay_out", "wait", "wait"]
        kind = self.draw.choice([*rare, *[due[last and last.stage]] * len(rare)])
        getattr(self, f"try_{kind}")()
        self.agree()

    def try_wait(self):
        self.wait(self.draw.choice([1, 1, 1, 2, 2, 5, self.terms.budget]))

    def try_claim(self):
        at, actor = self.draw.randrange(len(WORK.steps)), self.draw.choice(self.ACTORS)
        kind, number = self.draw.random(), self.draw.randrange(3)
        ran = honest() if kind < 0.3 else lying(at, number)
        if kind > 0.8:  # agreed on a lie, and then at odds over the pool's step
            ran = run(WORK, {0: 1, POOLED: number})
        tree, salt, flaw = ran.tree, bytes(32), self.draw.random()
        digest = game.promise(self.case, tree.root, game.address(actor), salt)
        if flaw < 0.9 and digest not in self.digests:
            self.do("commit", digest, same=OK)
            self.digests.append(digest)
            self.wait(self.draw.choice([1, 1, 1, 1, 0]))
        last = len(tree.leaves) - 1
        first, ends = tree.proof(0), tree.proof(last)
        bond = self.terms.bond - (0.80 < flaw < 0.84)
        case, result = self.case, tree.leaves[last]
        bad = None
        if flaw < 0.04:
            case, bad = bytes(32), "UNKNOWN_JOB"
        elif flaw < 0.06:
            result = bytes(32)
        elif flaw < 0.09:
            first = [bytes(32), *first[1:]]
        elif flaw < 0.12:
            ends = ends[1:]
        early = self.court.commits.get(digest, self.court.block) >= self.court.block
        expected = bad
        if expected is None:
            expected = self.slow_claim(actor, listed(ran), bond, flaw < 0.12, early)
        reason = self.do(
            "claim", case, *tree.children(tree.depth, 0), result, first, ends, salt, bond,
            actor=actor, same=expected,
        )  # fmt: skip
        if reason == Reason.OK:
            self.runs.append(ran)

    def slow_claim(self, actor, lists, bond, is_bad, early):
        """The slow model has no proofs and no commitments: they come between its checks."""
        slow, probe = self.slow, None
        if slow.closed:
            probe = "WRONG_PHASE"
        elif slow.first is not None and slow.block > slow.first + slow.terms.window:
            probe = "TOO_LATE"
        elif is_bad:
            probe = "BAD_VALUE"
        elif any(a and c == lists for a, c in zip(slow.alive, slow.claims)):
            probe = "ALREADY_DONE"
        elif early:
            probe = "TOO_EARLY"
        return probe or slow.claim(actor, lists, bond)

    def try_play(self):
        actor, number = self.draw.choice(self.ACTORS), self.number()
        good, duel = self.draw.random() < 0.9, self.court.duel(number)
        nodes = [bytes(32)] * 4
        if duel is not None and duel.stage == game.PLAY:
            nodes = self.nodes(number)
            if not good:
                nodes[self.draw.randrange(4 if duel.height > 1 else 2)] = bytes([9]) * 32
        self.do("play", number, *nodes, actor=actor, same=self.slow.play(actor, number, good))

    def nodes(self, number):
        """What the side whose turn it is has to show."""
        duel = self.court.duel(number)
        tree = self.runs[duel.claims[duel.turn] - 1].tree
        left, right = tree.children(duel.height, duel.place)
        low = high = bytes(32)
        if duel.height > 1:
            goes_right = left == duel.left
            low, high = tree.children(duel.height - 1, 2 * duel.place + goes_right)
        return [left, right, low, high]

    def try_judge(self):
        actor, number = self.draw.choice(self.ACTORS), self.number()
        duel, good = self.court.duel(number), self.draw.random() < 0.8
        if duel is None or duel.stage != game.JUDGE:
            args = bytes(32), [], Step(Op.HALT), [], Witness([], [])
            expected = self.slow.judge(actor, number, good)
        else:
            ran = self.runs[self.draw.choice(duel.claims) - 1]
            args = self.shown(number, ran)
            if not good and duel.place:
                args = self.spoil(args, args[2].op not in (Op.HALT, Op.POOL))
            expected = self.slow.judge(actor, number, good or duel.place == 0)
        self.do("judge", number, *args, actor=actor, same=expected)

    def shown(self, number, ran):
        """The last step, with the witness of who has done it so."""
        at = max(self.court.duel(number).place, 1) - 1
        step, memory = WORK.steps[at], before(WORK, at, ran.given)
        exact = step.op not in (Op.HALT, Op.POOL)
        witness = memory.witness(step) if exact else Witness([], [])
        return [ran.tree.leaves[at], ran.tree.proof(at), step, self.tree.proof(at), witness]

    def spoil(self, args, exact):
        checkpoint, proof, step, step_proof, witness = args
        kind = self.draw.randrange(7 if exact else 4)
        if kind == 0:
            checkpoint = bytes(32)
        elif kind == 1:
            proof = proof[::-1] if len(set(proof)) > 1 else proof[1:]
        elif kind == 2:
            step = step._replace(b=step.b + 1)
        elif kind == 3:
            step_proof = step_proof[1:]
        elif kind == 4:
            witness = witness._replace(values=[witness.values[0] + 1, *witness.values[1:]])
        elif kind == 5:
            witness = witness._replace(values=[*witness.values[:-1], 2**40])
        else:
            witness = witness._replace(proofs=witness.proofs[1:])
        return [checkpoint, proof, step, step_proof, witness]

    def try_time_out(self):
        actor, number = self.draw.choice(self.ACTORS), self.number()
        self.do("time_out", number, actor=actor, same=self.slow.time_out(actor, number))

    def try_close(self):
        self.do("close", self.case, same=self.slow.close())

    def try_pay_out(self):
        actor = self.draw.choice(self.ACTORS)
        expected = OK if self.slow.paid.get(actor, 0) else "NOT_ENOUGH_MONEY"
        self.slow.paid[actor] = 0
        self.do("pay_out", actor=actor, same=expected)

    def number(self):
        """Of a duel, the latest most of the time."""
        count = len(self.court.duels)
        return self.draw.choice([count, count, count, self.draw.randrange(count + 2)])

    def agree(self):
        """Money and claims of the slow model, the whole state of the contract."""
        court, slow = self.court, self.slow
        assert [claim.bond for claim in court.claims] == slow.purse
        assert {k: v for k, v in court.balances.items() if v} == {
            k: v for k, v in slow.paid.items() if v
        }
        assert court.burned == slow.burned
        ruling = game.ruling(court, self.case)
        assert (ruling.block >= 0) == slow.closed
        assert ruling.is_proven == (slow.closed and "by a step" in slow.beaten)
        assert court.held == sum(slow.purse) + sum(slow.paid.values()) + slow.burned
        case = court.cases[self.case]
        assert case.winner == (0 if slow.winner is None else slow.winner + 1)
        assert case.running == sum(not duel["over"] for duel in slow.duels)
        for now, was in zip(court.duels, slow.duels, strict=True):
            assert (now.stage == game.OVER) == was["over"]
            if now.stage == game.JUDGE:
                assert now.place == was["at"]
            if now.stage == game.PLAY:
                assert (now.height, now.turn) == (was["moves"], was["turn"])
                assert list(now.clocks) == was["clock"]
                assert now.place == was["at"] >> now.height
        if self.contract is not None:
            balances = {k: v for k, v in court.balances.items() if v}
            from_evm = self.contract.state([self.case], self.ACTORS, self.digests)
            assert from_evm == court._replace(balances=balances)


class Contest(Trace):
    """A game with an end that chance hardly finds: a lie falls by silence, of the three claims that
    have beaten it two go out together, and the third is left."""

    def standing(self):
        return lying(self.draw.randrange(POOLED))

    def play_on(self, is_judged):
        """The whole game; the three agree after it. Two are at odds over a step of the pool, or
        both wrong in an exact one, which is judged."""
        told = self.draw.sample([TRUTH, 1, 2], 3)
        lies = [lying(2, 1), lying(2, 2), honest()]
        self.runs += lies if is_judged else [run(WORK, {POOLED: number}) for number in told]
        claims = list(zip(self.ACTORS, self.runs[1:], strict=False))
        for actor, ran in claims:
            root, owner = ran.tree.root, game.address(actor)
            self.digests.append(game.promise(self.case, root, owner, bytes(32)))
            self.do("commit", self.digests[-1], same=OK)
        self.wait(1)
        for actor, ran in claims:
            tree, last = ran.tree, len(ran.tree.leaves) - 1
            self.do(
                "claim", self.case, *tree.children(tree.depth, 0), tree.leaves[last],
                tree.proof(0), tree.proof(last), bytes(32), self.terms.bond,
                actor=actor, same=self.slow.claim(actor, listed(ran), self.terms.bond),
            )  # fmt: skip
        self.stop(1, 2, 3, after=self.terms.budget)
        for _ in range(WORK.depth):
            self.show(4)
        if is_judged:
            actor, args = self.draw.choice(self.ACTORS), self.shown(4, self.runs[1])
            self.do("judge", 4, *args, actor=actor, same=self.slow.judge(actor, 4, True))
        else:
            self.stop(4, after=self.terms.judging)
        self.wait(self.terms.window)
        self.try_close()
        self.agree()
        return self

    def stop(self, *numbers, after):
        """Duels that nobody goes on with end."""
        self.wait(after + 1)
        for number in numbers:
            actor = self.draw.choice(self.ACTORS)
            self.do("time_out", number, actor=actor, same=self.slow.time_out(actor, number))

    def show(self, number):
        """An answer."""
        actor, nodes = self.draw.choice(self.ACTORS), self.nodes(number)
        self.do("play", number, *nodes, actor=actor, same=self.slow.play(actor, number, True))


OK = "OK"


def random_terms(draw):
    return game.Terms(
        bond=draw.choice([680, 1_000, 12_345]),
        fee=draw.choice([1, 10]),
        prize_bps=draw.choice([0, 3_333, 10_000]),
        window=draw.choice([3, 20, 60]),
        budget=draw.choice([4, 8, 20]),
        judging=draw.choice([1, 5, 20]),
    )
