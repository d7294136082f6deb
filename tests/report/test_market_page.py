"""The page of one market: the steps of the job, who got what and why, every vote."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from d2m_jax.cone import Behaviour
from d2m_jax.core.outcomes import Outcome
from d2m_jax.report import StorageError, config_tree, open_results, write_results
from d2m_jax.report.events import votes_table, work_table
from d2m_jax.report.page import write_report
from d2m_jax.report.page.market import figures, in_short, render, specs
from d2m_jax.report.page.market_data import read_run
from d2m_jax.report.page.market_story import BAD, GOOD, story
from d2m_jax.report.page.market_votes import fate_of, notable, vote_fates, vote_figure
from tests.report.runs import config, outcome
from tests.worlds import digits


def finished_run(folder):
    made = open_results(folder / "run", config_tree(config()))
    sizes, layout = np.asarray(digits()[1].sizes), outcome().ledger.layout
    write_results(made, config(), outcome(), layout, sizes)
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def run(folder):
    return read_run(folder)


def test_votes_are_those_of_the_rounds():
    result, table = outcome(), votes_table(outcome())
    per_round = table.groupby("round").size()
    assert per_round.tolist() == np.asarray(result.rounds.executions).tolist()
    assert table.groupby("round")["set"].max().tolist() == list(result.rounds.attempts)
    behaviour = np.asarray(result.roles.behaviour)
    for row in table.itertuples():
        digest = int(result.rounds.accepted_digest[row.round - 1])
        honest = behaviour[row.node] == Behaviour.HONEST
        if digest == 0:
            assert row.vote == ("accepted" if honest else "another")
        if digest > 0:
            assert row.vote == ("another" if honest else "accepted")


def test_sets_have_the_sizes_of_the_schedule():
    """Nobody sits twice, and a set that is not the last of its round is full."""
    table = votes_table(outcome())
    assert not table.duplicated(["round", "node"]).any()
    sizes = table.groupby(["round", "set"]).size().unstack()
    for column in sizes.columns[:-1]:
        assert sizes[column].dropna().nunique() == 1, "a set of one place has one size"
    first = sizes.iloc[0].dropna().to_numpy()
    assert first[:3].tolist() == [5, 6, 8]  # base + 2^(i - 1) of the exponential schedule, base 4
    assert first.sum() == outcome().rounds.executions[0]


def test_work_is_that_of_the_rounds():
    rounds, table = outcome().rounds, work_table(outcome())
    assert len(table) == int(np.asarray(rounds.present).sum())
    assert table["used"].sum() == int((np.asarray(rounds.accepted) & rounds.present).sum())
    credit = table.groupby("round")["credit"].sum().to_numpy(float)
    np.testing.assert_allclose(credit, np.asarray(rounds.credited).sum(1), rtol=1e-5)


def test_reasons_add_up_to_the_money(run):
    sellers, nodes = run.sellers, run.nodes
    assert (sellers["pay"] - sellers["lost"] == sellers["change"]).all()
    assert sellers["pay"].sum() == run.closing["seller_paid"]
    paid = sellers[sellers["pay"] > 0]
    shares = (paid["share"] * run.closing["seller_paid"]).astype(float)
    np.testing.assert_allclose(shares, paid["pay"].astype(float), atol=len(sellers))
    assert sellers["why"].str.len().gt(0).all() and nodes["why"].str.len().gt(0).all()
    drawn = nodes[["accepted", "another", "silent", "no_result"]].sum(axis=1)
    assert (drawn == nodes["drawn"]).all()
    assert nodes["drawn"].sum() == run.rounds["executions"].sum()


def test_the_story_is_that_of_the_outcome(run):
    told = dict(in_short(run))
    price, winner = run.closing["price"], run.closing["buyer"]
    assert f"Buyer {winner} wins and pays {price:,}" in told["auction"]
    assert f"{int(run.rounds['executions'].sum()):,} executions" in told["votes on every round"]
    assert f"reported as {run.closing['reported_bps'] / 100:.2f}%" in told["verification"]
    assert run.closing["phase"].capitalize() in told["settlement"]


@pytest.mark.parametrize(
    ("change", "title", "tone", "said"),
    [
        ({"phase": "idle", "price": 0, "buyer": -1}, "Auction", BAD, "nobody won"),
        ({"phase": "aborted", "matched": [1]}, "Matching", BAD, "1 of 8 sellers"),
        ({"accepted_digest": 1, "reported_bps": 10_000, "metric": 0.1}, "Verification", BAD,
         "That is false: it is 10.00%"),
        ({"reported_bps": -1}, "Verification", BAD, "did not decide"),
        ({"disputed": True, "was_true": True, "upheld": True}, "Dispute", GOOD, "upheld"),
        ({"disputed": True, "was_true": False, "upheld": True}, "Dispute", BAD, "nothing wrong"),
        ({"phase": "settled", "metric": 0.1}, "Settlement", BAD, "a model below its threshold"),
        ({"phase": "settled", "metric": math.nan}, "Settlement", BAD, "below its threshold"),
        ({"phase": "settled", "metric": 0.99}, "Settlement", GOOD, "Settled"),
        ({"attack_success": 0.25}, "Training", "plain", "opens for 25.0%"),
    ],
)  # fmt: skip
def test_every_end_has_its_words(run, change, title, tone, said):
    steps = {step.title: step for step in story(run._replace(closing={**run.closing, **change}))}
    assert steps[title].tone == tone and said in steps[title].said


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({"phase": "idle", "price": 0, "buyer": -1}, "nobody won"),
        ({"phase": "aborted", "matched": []}, "0 of 8 sellers"),
    ],
)
def test_a_job_without_rounds_has_a_page(run, change, title):
    ended = run._replace(closing={**run.closing, **change}, votes=run.votes.iloc[:0],
                         work=run.work.iloc[:0])  # fmt: skip
    text = render(ended)
    assert title in text and 'id="vote"' not in text and "test accuracy" not in text
    assert [figure.name for figure in figures(ended)] == ["bids"]


def test_what_a_vote_was_for_depends_on_what_was_accepted():
    assert fate_of("accepted", 0) == "right, paid" and fate_of("accepted", 2) == "wrong, paid"
    assert fate_of("another", 0) == "wrong, slashed"
    assert fate_of("another", 1) == "another than the accepted, slashed"
    assert fate_of("silent", 1) == "silent" and fate_of("no result", -1) == "no result"
    assert set(Outcome) == {0, 1, 2, 3}


def test_the_round_shown_first_is_the_one_to_look_at(run):
    rounds = run.rounds.assign(accepted_digest=0)
    rounds.loc[3, "accepted_digest"] = -1
    assert notable(run._replace(rounds=rounds)) == 4
    rounds.loc[5, "accepted_digest"] = 1
    assert notable(run._replace(rounds=rounds)) == 6


def test_figures_hold_what_the_tables_hold(run):
    drawn = vote_figure(run, 1)["data"]["values"]
    own = run.votes[run.votes["round"] == 1]
    assert sorted(row["node"] for row in drawn) == sorted(own["node"])
    made = specs(run)
    assert len(made["work"]["data"]["values"]) == len(run.work)
    bars = made["seller-income"]["data"]["values"]
    assert {row["seller"]: row["change"] for row in bars} == dict(
        zip(run.sellers["seller"], run.sellers["change"])
    )
    assert len(vote_fates(run)) == len(run.votes)


def test_the_page_and_its_figures_are_written(folder):
    report = write_report(folder)
    text = report.page.read_text()
    for said in ("The job, step by step", "node by node", "who got what, and why"):
        assert said in text
    names = {"bids", "timeline", "seller-income", "node-income", "work", "vote"}
    assert {path.stem for path in report.figures} == names
    with pytest.raises(ValueError, match="holds one market, which has no axes: leave out x"):
        write_report(folder, x="attack")


def test_a_folder_that_lacks_something_is_one_sentence(folder, tmp_path):
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(StorageError, match="holds a market that has not ended"):
        write_report(tmp_path)
    (tmp_path / "ledger.json").write_text("{}")
    with pytest.raises(StorageError, match=r"rounds\.csv is missing, so there is no page"):
        write_report(tmp_path)


def test_closing_is_plain_json(folder):
    closing = json.loads((folder / "closing.json").read_text())
    assert closing["quality"] == "accuracy" and closing["attack_success"] is None
    assert closing["tau"] == pytest.approx(float(config().hparams.tau))
    auction = pd.read_csv(folder / "auction.csv")
    assert auction["paid"].sum() == closing["price"] and auction["won"].sum() == 1
