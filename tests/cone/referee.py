"""A literal vote in plain Python, float64: one node, one ballot, one set at a time."""

import collections
import math

HONEST, COLLUDE, LONE, SILENT, COPY, ADAPTIVE = range(6)


def referee(sets, behaviour, group, pool, params, rule, *, rice, redrawn, lots=None):
    """Returns (accepted, attempts, executions, outcome, lead, last votes); "lone": a lone liar's.

    `sets` is the list of execution sets (lists of node indices) of all attempts; `lots[attempt]`
    are the votes of each node in a set, None for one each; then `pool` counts lots.
    """
    history, used, last_vote = [], 0, {}
    accepted, lead = -1, 0
    attempts = 0
    for attempt, members in enumerate(sets):
        weight = lots[attempt] if lots is not None else [1] * len(behaviour)
        size = sum(int(weight[node]) for node in members)
        used += size
        exhausted = pool == 0 or (not redrawn and used >= pool)
        attempts = attempt + 1 if pool else 0

        def ballots(lying, members=members, attempt=attempt):
            seen = collections.Counter()
            for earlier, _ in history:
                for digest, count in earlier.items():
                    if isinstance(digest, int):
                        seen[digest] += count
            leader = min(seen, key=lambda d: (-seen[d], d)) if seen else None
            cast = {}
            for node in members:
                kind = behaviour[node]
                if kind == COLLUDE:
                    cast[node] = int(group[node])
                elif kind == LONE:
                    cast[node] = ("lone", node, attempt)
                elif kind == SILENT:
                    cast[node] = None
                elif kind == COPY and leader is not None:
                    cast[node] = "worthless" if rice else leader
                elif kind == ADAPTIVE and lying:
                    cast[node] = 1
                else:
                    cast[node] = 0
            return cast

        def verdict(cast, size=size, weight=weight, exhausted=exhausted):
            now = collections.Counter()
            for node, digest in cast.items():
                if digest not in (None, "worthless"):
                    now[digest] += 1 if isinstance(digest, tuple) else int(weight[node])
            all_sets = [*history, (now, size)]
            total = sum((cell for cell, _ in all_sets), collections.Counter())
            ranked = sorted(total.values(), reverse=True) + [0, 0]
            winner = stop(rule, all_sets, total, pool, params, redrawn)
            over = winner is not None or exhausted
            if winner is None and exhausted and ranked[0] > ranked[1]:
                winner = max(total, key=lambda d: total[d])
            return winner, over, now, ranked[0] - ranked[1]

        cast = ballots(lying=False)
        winner, over, now, lead = verdict(cast)
        if any(behaviour[node] == ADAPTIVE for node in members):
            lie = ballots(lying=True)
            if verdict(lie)[0] == 1:
                cast = lie
                winner, over, now, lead = verdict(cast)
        history.append((now, size))
        last_vote.update(cast)
        if over:
            accepted = -1 if winner is None else winner
            break

    outcome = [0] * len(behaviour)
    for node, vote in last_vote.items():
        if vote is None:
            outcome[node] = 3
        elif accepted != -1:
            outcome[node] = 1 if vote == accepted else 2
    is_lone = isinstance(accepted, tuple)
    votes = [last_vote.get(node) for node in range(len(behaviour))]
    votes = ["lone" if is_lone and vote == accepted else vote for vote in votes]
    return "lone" if is_lone else accepted, attempts, used, outcome, lead, votes


def stop(rule, all_sets, total, pool, params, redrawn):
    """The digest that the rule accepts after these sets, or None."""
    if not total:
        return None
    rivals = max(len(total) - 1, 1)
    beta = params["beta"] / rivals
    need = math.log((1 - beta) / beta)
    f = params["f_max"]
    if rule == "majority_last":
        now, size = all_sets[-1]
        return next((d for d, c in now.items() if 3 * c >= 2 * size), None)
    if rule == "lead":
        score = {d: c * 1.0 for d, c in total.items()}
        need = math.ceil(need / math.log((1 - f) / f) - 1e-6)
    elif rule == "miracle":
        score = collections.Counter()
        for cell, size in all_sets:
            share = params["q"] if redrawn else size / pool
            spread = pool * share * max(1 - share, 1 / pool)
            for d, c in cell.items():
                score[d] += c * c * (1 - 2 * f) / (2 * f * (1 - f)) / spread
    else:
        bad = math.floor(f * pool + 1e-3)
        score = collections.Counter()
        for cell in [c for c, _ in all_sets] if redrawn else [total]:
            for d, c in cell.items():
                score[d] += log_choose(pool - bad, c) - log_choose(bad, c) if c <= bad else math.inf
    best = max(score, key=lambda d: score[d])
    second = max([s for d, s in score.items() if d != best] + [0.0])
    if math.isinf(second):
        return None
    return best if score[best] - second >= need - 1e-9 else None


def log_choose(n, k):
    """Log binomial coefficient, exact integers inside."""
    return math.log(math.comb(n, k)) if k <= n else -math.inf
