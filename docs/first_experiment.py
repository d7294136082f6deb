# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Your first experiment
#
# Three questions, answered by 3,392 small markets:
#
# 1. At which share of colluding nodes does the market break, under each stop rule?
# 2. How does the income of a seller follow the noise in its labels, under each payment?
# 3. Does a deposit deter?
#
# A market is one pure function, `market.run(key, hparams, data)`. So an experiment is a `vmap` of it over whatever
# is asked about. The page takes three minutes of processor time, nearly all of it compilation of five programs.

# %%
import dataclasses

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from d2m_jax import HParams, Spec, cone, incentives, make_market
from d2m_jax.config.hparams import Money
from d2m_jax.data import build, load, seller_rows
from d2m_jax.ledger import wealth

# %% [markdown]
# ## The setting
#
# Eight sellers hold equal parts of the digits, five of them train in a round, and 24 nodes vote. Deposits can be
# large here, so the sellers bring enough money.

# %%
digits = load("digits")
data = build(digits, num_sellers=8, partition="iid")
spec = Spec(
    model="logreg",
    num_sellers=8,
    num_sampled=5,
    num_rounds=40,
    eval_every=40,
    batch_size=16,
    num_nodes=24,
    attack="sign_flip",
)
numbers = HParams(
    tau=0.7,
    attack={"scale": 10.0},
    money=Money(seller_funds=600_000, seller_stake=500_000),
)
SELLERS = make_market(spec, digits).layout.sellers  # their accounts

# %% [markdown]
# The three questions vary three numbers. `played` compiles a market once and then plays any number of worlds at a
# time, each with a seed and numbers of its own. Numbers are traced: no value of theirs compiles anything again.

# %%
WORLDS = 64


def played(spec, numbers=numbers):
    market = make_market(spec, digits)
    hparams = market.numbers(numbers)

    def world(key, change, data):
        people = hparams.population.replace(
            num_colluding=change["colluding"], num_byzantine=change["byzantine"]
        )
        rules = {**hparams.rules, "seller_deposit": change["deposit"]}
        return market.run(key, hparams.replace(population=people, rules=rules), data)

    worlds = jax.jit(jax.vmap(world, in_axes=(0, 0, None)))

    def play(data=data, colluding=0, byzantine=0, deposit=70_000):
        change = {"colluding": colluding, "byzantine": byzantine, "deposit": deposit}
        each = {k: jnp.broadcast_to(jnp.int32(v), WORLDS) for k, v in change.items()}
        keys = jax.vmap(jax.random.key)(jnp.arange(WORLDS))
        return jax.device_get(worlds(keys, each, data))

    return play


def change_of_wealth(outcome):
    """What each seller has gained in each world [W, N]."""
    before, after = (jax.vmap(wealth)(books) for books in (outcome.opening, outcome.ledger))
    return np.asarray(after - before)[:, SELLERS]


# %% [markdown]
# ## 1. When does collusion break the market?
#
# The colluders vote for a spoilt model in every round. A market is *broken* where a wrong result was accepted at
# least once. What the stop rules do is in [CONE](cone.md): `lead` is the default, `majority_last` asks for two thirds
# of the last set and is there to be compared with.

# %%
RULES = ["lead", "hypergeometric", "miracle", "majority_last"]
play = {rule: played(dataclasses.replace(spec, stop_rule=rule)) for rule in RULES}
counts = np.arange(0, 15, 2)
broken = pd.DataFrame(index=pd.Index(counts, name="colluding of 24"))
stuck = broken.copy()
for rule in RULES:
    digests = [play[rule](colluding=int(bad)).rounds.accepted_digest for bad in counts]
    broken[rule] = [(digest > 0).any(axis=1).mean() for digest in digests]
    stuck[rule] = [(digest < 0).any(axis=1).mean() for digest in digests]
broken.round(2)

# %% [markdown]
# This is the share of worlds in which a wrong result was accepted. Where votes are tied nothing is accepted; here is
# the share of worlds in which some round stayed undecided:

# %%
stuck.round(2)

# %% [markdown]
# 64 worlds cannot see small probabilities. For a single vote they are known exactly (right). The lines on the left say
# what 40 such votes come to if the colluders sit in all of them. The marks lie below where colluders have been slashed
# early on: who has less than a full pledge is not drawn again.

# %%
params = cone.ConeParams()
shares = np.arange(0, 15)
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
STYLES = dict(zip(RULES, ["o-", "s--", "^:", "v-."]))
for rule in RULES:
    exact = np.array([cone.exact_error(24, int(bad), params, stop_rule=rule) for bad in shares])
    some = 1 - (1 - exact) ** spec.num_rounds
    left.plot(shares / 24, some, STYLES[rule], markersize=0, label=rule)
    left.plot(counts / 24, broken[rule], STYLES[rule][0], color=left.lines[-1].get_color())
    right.semilogy(shares / 24, np.where(exact > 0, exact, np.nan), STYLES[rule], markersize=4)
left.set(xlabel="share of colluding nodes", ylabel="markets broken in 40 rounds")
left.set_title("lines: exact, marks: simulated", fontsize=10)
left.legend(fontsize=8)
right.set(
    xlabel="share of colluding nodes", ylabel="a vote ends wrong, exact", xlim=left.get_xlim()
)
plt.show()

# %% [markdown]
# **Answer.** With two thirds of the last set a vote may end wrong from a sixth of colluders on, and markets do. The
# hypergeometric rule keeps its word up to its bound, a third. `lead` and `miracle` hold up to half of this small pool,
# since they ask everybody before they decide. Beyond half all of them break, as any vote must.
#
# ## 2. Does pay follow quality?
#
# Seller m has a share m/8 of its labels replaced by random ones. Nobody cheats. What changes between payments is only
# how the scores of the job become shares of the pool, so one set of markets serves all of them.

# %%
noise = np.arange(8) / 8
rng = np.random.default_rng(0)
labels = np.array(data.pool["labels"])
for rows, share in zip(seller_rows(data), noise):
    wrong = rng.random(len(rows)) < share
    labels[rows[wrong]] = rng.integers(0, 10, wrong.sum())
noisy = data.replace(pool={**data.pool, "labels": jnp.asarray(labels)})

outcome = play["lead"](noisy)
pool = 0.7 * outcome.ledger.jobs.price.mean()  # of the price, seller_bps


def income(payment, **values):
    weights = [np.asarray(incentives.pay(payment, scores, **values)) for scores in outcome.scores]
    assert payment != "proportional" or (weights == outcome.closing.weights).all()
    return pool * np.mean([w / w.sum() for w in np.asarray(weights, float)], axis=0)


incomes = pd.DataFrame(
    {
        "proportional": income("proportional"),
        "capped (1.2)": income("capped", most=1.2),
        "tempered": income("tempered"),
        "equal": income("equal"),
    },
    index=pd.Index(noise, name="noise in the labels"),
)
figure, axis = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for name, style in zip(incomes, ["o-", "s--", "^:", "v-."]):
    axis.plot(noise, incomes[name] / 1000, style, label=name)
axis.set(xlabel="share of random labels", ylabel="income of the seller, thousands", ylim=0)
axis.legend(fontsize=8)
plt.show()
incomes.round(-2).astype(int)

# %% [markdown]
# **Answer.** With the default payment a seller with clean labels earns several times what one with mostly random
# labels does. Square roots flatten that, equal pay removes it. The scores themselves come from `spec.contribution`;
# which of those are fair is measured in [incentives](incentives.md#fairness).
#
# ## 3. Does a deposit deter?
#
# One seller of eight cheats, in the same 64 worlds in which it is honest. Two attacks: it sends ten times the
# negative of its update, or it trains on flipped labels. What it loses by that depends on the deposit.

# %%
cheat = {
    "sign flip": play["lead"],
    "label flip": played(
        dataclasses.replace(spec, attack="label_flip"), numbers.replace(attack={})
    ),
}
deposits = np.array([0, 70_000, 140_000, 280_000, 420_000])
rows = []
for attack, play_attack in cheat.items():
    for deposit in deposits:
        honest = play_attack(deposit=int(deposit))
        bad = play_attack(byzantine=1, deposit=int(deposit))
        who = np.asarray(bad.roles.byzantine)  # [W, N], one seller of each world
        loss = (change_of_wealth(honest) - change_of_wealth(bad))[who]
        caught = bad.closing.slashed[who].mean()
        rows.append((attack, deposit, caught, loss.mean(), 2 * loss.std() / np.sqrt(WORLDS)))
columns = ["attack", "deposit", "slashed", "cheating costs", "+-"]
deterred = pd.DataFrame(rows, columns=columns).round({"slashed": 3, "cheating costs": 0, "+-": 0})
deterred

# %%
figure, axis = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for (attack, table), style in zip(deterred.groupby("attack", sort=False), ["o-", "s--"]):
    axis.errorbar(
        table.deposit / 1000,
        table["cheating costs"] / 1000,
        table["+-"] / 1000,
        fmt=style,
        label=attack,
    )
axis.axhline(200, color="gray", linestyle=":")
axis.annotate("somebody pays 200,000 for harm", (420, 206), ha="right", color="gray", fontsize=8)
axis.set(xlabel="deposit, thousands", ylabel="cheating costs, thousands", ylim=0)
axis.legend(fontsize=8)
plt.show()

# %% [markdown]
# **Answer.** Cheating costs the pay that is lost, and the deposit times the chance of being slashed:
#
# $$\text{cost} = (w - w_d) + \pi D$$
#
# Sign flippers are nearly always slashed, so each unit of deposit deters. Label flippers do so little harm that few
# are, and a larger deposit hardly adds to what they lose anyway: their pay. A deposit deters what is caught.
#
# ## Further
#
# - More axes, error bands, resumption, several devices: [sweeps](sweeps.md).
# - Every deviation of every role, with intervals: [incentives](incentives.md).
# - A part of your own in place of a name: [parts of your own](extending.md).
