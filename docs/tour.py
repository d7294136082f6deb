# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Tour: one small market, step by step
#
# Three buyers bid for a model that reads handwritten digits. Six sellers have some, twelve compute nodes do the work,
# and a ledger holds the money. Two of the sellers and three of the nodes cheat. Everything below is real output: this
# page is the script `docs/tour.py`, which opens in Jupyter through jupytext and runs whenever the site is built. It
# takes half a minute of processor time, nearly all of it compilation.

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from d2m_jax import HParams, Spec, ledger, make_market, report
from d2m_jax.audit.literal import literal_round
from d2m_jax.cone import Behaviour, Outcome
from d2m_jax.config.hparams import Money
from d2m_jax.config.population import Population
from d2m_jax.data import build, load
from d2m_jax.market import collect, compiled

# %% [markdown]
# ## 1. Who holds what
#
# The buyer keeps 200 of the training images back, half for the defence, half for the verdict. The others are dealt to
# the sellers, unevenly: the smaller `alpha`, the more they differ. The test images are for reports only.

# %%
digits = load("digits")
data = build(digits, num_sellers=6, partition="dirichlet", alpha=0.5, num_validation=200)
print("sellers hold", np.asarray(data.sizes), "images")

# %% [markdown]
# ## 2. The rules of the game
#
# A `Spec` has names and shapes: changing one compiles another program. `HParams` has numbers: they are traced, so
# that one program serves all of them. A market is a handful of pure functions of both.

# %%
spec = Spec(
    model="logreg",
    num_sellers=6,
    num_sampled=4,  # train in a round
    num_rounds=60,
    eval_every=10,
    batch_size=16,
    num_nodes=12,
    num_buyers=3,
    attack="sign_flip",  # what Byzantine sellers do: send the negative of their update
)
numbers = HParams(
    tau=0.8,  # the buyer pays for at least 80 %
    attack={"scale": 10.0},
    population=Population(num_byzantine=2, num_colluding=3),
    money=Money(buyer_values=(900_000, 700_000, 500_000), buyer_shading_bps=(10_000,) * 3),
)
market = make_market(spec, digits)
hparams = market.numbers(numbers)  # checked: a number that makes no sense is one sentence
programs = compiled(market)

# %% [markdown]
# ## 3. Before the first round: deposits, bids, a price
#
# `init` registers everybody and holds the auction. Bids are sealed. The highest one wins and pays the second highest,
# so that nobody gains by bidding anything but what the model is worth to it.

# %%
state = programs.init(jax.random.key(0), hparams, data)
job = jax.tree.map(lambda column: np.asarray(column)[0], state.ledger.jobs)
bids = pd.DataFrame(
    {
        "buyer": range(3),
        "value of the model": np.asarray(state.auction.limits),
        "bid": np.asarray(state.auction.highest),
    }
)
print(bids.to_string(index=False))
print(f"\nbuyer {job.buyer} wins and pays {job.price:,}; {job.matched.sum()} sellers are matched")
print(f"for sellers {job.seller_pool:,}, for nodes {job.compute_pool:,}, fee {job.fee_pool:,}")

# %% [markdown]
# What everybody has put down stays with the job: it is all that the job can take from them.

# %%
print("pledged by each seller", job.locked, "\npledged by each node  ", job.pledged)

# %% [markdown]
# Nobody in the market knows who cheats. The simulation does:

# %%
cheats = np.flatnonzero(state.roles.byzantine)
print("Byzantine sellers", cheats, " colluding nodes", np.flatnonzero(state.roles.behaviour))

# %% [markdown]
# ## 4. One round, node by node
#
# In every round some sellers are drawn. Each trains on its own images and sends an update. No single node is believed
# about what the updates come to: nodes drawn by lot all compute the round, commit to the digest of what they got, and
# reveal it. Sets of 5, 6, 8, 12, ... nodes are drawn until the stop rule is satisfied. Here is the first round done
# literally, with SHA-256 digests of the model:

# %%
vote = literal_round(market)(state, hparams, data).vote
print(f"accepted {vote.digest.hex()[:16]}... after {vote.attempts} sets, {vote.executions} seats")
for node, outcome in enumerate(vote.outcome):
    kind = Behaviour(int(state.roles.behaviour[node])).name.lower()
    print(f"  node {node:2}  {kind:8}  {Outcome(int(outcome)).name.lower()}")

# %% [markdown]
# Nodes that revealed the accepted digest are paid. Those that revealed another one lose a part of their pledge, and
# with less than a full pledge a node is not drawn again.
#
# ## 5. The first ten rounds
#
# Corrected OSMD, the defence, compares the updates with what the buyer's examples say, leaves out what it does not
# trust, and makes one step of the rest. In the simulation votes are codes in place of hashes, which is fast; both ways
# accept the same results.

# %%
state, (info, evaluation) = programs.rounds(state, hparams, data)
rows = []
for r in range(5):
    drawn = info.sellers[r]
    rows.append(
        {
            "round": int(info.round[r]),
            "drawn": drawn,
            "used": drawn[np.asarray(info.accepted[r])],
            "flagged": drawn[np.asarray(info.flagged[r])],
            "sets": int(info.attempts[r]),
            "executions": int(info.executions[r]),
            "result": {0: "right", -1: "none"}.get(int(info.accepted_digest[r]), "wrong"),
        }
    )
print(pd.DataFrame(rows).to_string(index=False))
print(f"\ntest accuracy after {int(evaluation.round)} rounds: {float(evaluation.test_metric):.1%}")

# %% [markdown]
#
# ## 6. To the end
#
# The other rounds, then the verdict: the nodes vote on the accuracy on the buyer's examples, anybody may dispute
# while the challenge window is open, and the ledger pays.

# %%
outcome = collect(
    programs, jax.random.key(0), hparams, data, state=state, pieces=[(info, evaluation)]
)
rounds, evaluations = outcome.rounds, outcome.evaluations

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
left.plot(evaluations.round, evaluations.test_metric, marker="o")
left.axhline(0.8, color="gray", linestyle="--")
left.annotate("tau", (evaluations.round[0], 0.805), color="gray")
left.set(xlabel="round", ylabel="test accuracy")
right.plot(rounds.round, rounds.byzantine_mass, color="tab:red")
right.axhline(2 / 6, color="gray", linestyle="--")
right.annotate("their share of the sellers", (rounds.round[2], 2 / 6 + 0.01), color="gray")
right.set(xlabel="round", ylabel="chance of a Byzantine draw", ylim=(0, 0.4))
plt.show()

# %% [markdown]
# ## 7. Who got what
#
# When the metric reaches tau the job is settled: the sellers share their pool by what their work was worth. When it
# misses tau the job is refunded, and the sellers get a smaller share for the work that was accepted.

# %%
sellers = report.sellers_table(outcome, market.layout)
metric = float(outcome.closing.metric)
print(f"{report.phase_name(outcome)} with {metric:.1%} on the buyer's examples\n")
columns = ["seller", "role", "samples", "accepted_rounds", "flagged_rounds", "slashed", "change"]
print(sellers[columns].to_string(index=False))

# %% [markdown]
# Money is whole units, and none is lost or made:

# %%
money = report.money_table(outcome, market.layout)
print(money.to_string(index=False))
facts = ledger.invariants(outcome.ledger)
assert all(bool(fact) for fact in facts.values())
print("\nholds:", ", ".join(facts))

# %% [markdown]
# ## 8. What if the nodes were bought?
#
# The number of colluding nodes is a number, so the compiled programs serve again. With eight of twelve the colluders
# are the majority of every vote: they spoil the model, and then they vote that it is excellent.

# %%
captured = market.numbers(numbers.replace(population=Population(num_byzantine=2, num_colluding=8)))
outcome = collect(programs, jax.random.key(0), captured, data)
wrong = outcome.rounds.accepted_digest > 0
print(f"wrong results accepted in {wrong.sum()} of {spec.num_rounds} rounds")
print(f"true accuracy {float(outcome.closing.metric):.1%}, job {report.phase_name(outcome)}")

# %% [markdown]
# A vote cannot help against a majority; nor can a second vote of the same nodes. What can is a dispute by bisection,
# `Spec(dispute="bisection")`: one honest watcher is then enough, whatever the majority ([CONE](cone.md)).
#
# `collect` ran the last two markets to their end. `market.run` is the whole market as one function, to be jitted and
# vmapped over thousands of such worlds: [your first experiment](first_experiment.py).
