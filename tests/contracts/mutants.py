"""Small faults in the text of the contracts, one at a time; the traces have to find each."""

import functools

from contracts.compiler import compile_contract, source_of
from contracts.market import compile_market
from tests.contracts.machines import artifacts

HASTY = "an auction is closed while it runs"
FAULTS = {  # name: (file, text, changed text)
    HASTY: ("D2MMarket", "    store._check(waited >= ends, store.TOO_EARLY)\n", ""),
    "an unrevealed deposit goes back whole": (
        "D2MMarket",
        "            back -= store._part(offer.deposit, store.R.unrevealed_bps)\n",
        "",
    ),
    "of two equal bids the later seat wins": (
        "D2MMarket",
        "if offer.bid > best:",
        "if offer.bid >= best:",
    ),
    "an equal open bid takes the lead": (
        "D2MMarket",
        "units > store._offer(slot, j.buyer).bid",
        "units >= store._offer(slot, j.buyer).bid",
    ),
    "a seller works for less than its ask": (
        "D2MMarket",
        "            and listing.ask <= pool\n",
        "",
    ),
    "a seller leaves in the block of the first bid": (
        "D2MMarket",
        "account.asked_at < since",
        "account.asked_at <= since",
    ),
    "who joins when salts are known is a candidate": (
        "D2MMarket",
        "    if store.R.sealed == 0:\n        self._freeze",
        "    if store.R.sealed <= 1:\n        self._freeze",
    ),
    "a job starts with too few nodes": (
        "D2MMarket",
        "    if number < store.R.min_nodes:\n        return False\n",
        "",
    ),
    "banned nodes vote": (
        "D2MMarket",
        "        if store._is_active(store.NODES_AFTER + 1 + n):\n            word |=",
        "        if True:\n            word |=",
    ),
    "each share is rounded down by itself": (
        "D2MJobs",
        "pot * shares // total - paid",
        "pot * share // total",
    ),
    "what is left of the bond of a false dispute is not burned": (
        "D2MJobs",
        "    store.burned += p.bond - reward * number\n",
        "",
    ),
    "who was outvoted stays slashed": (
        "D2MJobs",
        "            post.held -= share\n            post.pledged += share\n",
        "",
    ),
    "the guilty keep what they have earned": (
        "D2MJobs",
        "            left += share + post.earned\n            post.earned = 0\n",
        "            left += share\n",
    ),
    "the guilty stay": (
        "D2MJobs",
        "                store.accounts[store.NODES_AFTER + 1 + n] |= 1 << 225\n",
        "                pass\n",
    ),
    "the prize may pass the bond": (
        "D2MJobs",
        "prize: uint256 = min(left, p.bond)",
        "prize: uint256 = left",
    ),
    "anybody opens the metric": (
        "D2MJobs",
        "    store._check(store.seat_of[msg.sender] == j.buyer, store.NOT_AUTHORISED)\n",
        "",
    ),
    "who agreed on what is void is let off": (
        "D2MJobs",
        "        d.wrong = d.matched\n",
        "        d.wrong = empty(uint256[store.NODE_BITS])\n",
    ),
    "another metric than the buyer's is booked": (
        "D2MJobs",
        " or extract32(content, 64) != metric",
        "",
    ),
    "a slash is a share of what is left": (
        "D2MJobs",
        "store._part(post.pledged + post.held, bps)",
        "store._part(post.pledged, bps)",
    ),
    "training ends early without the examples": (
        "D2MJobs",
        "j.opened and metric > 0 and",
        "metric > 0 and",
    ),
    "a content is waited for a block too long": (
        "D2MJobs",
        "waited >= store.R.content_window",
        "waited > store.R.content_window",
    ),
    "the verification is not paid for": (
        "D2MJobs",
        "// (store.R.num_rounds + 1)",
        "// store.R.num_rounds",
    ),
    "a dispute without a result is not asked anew": (
        "D2MJobs",
        "    j.serial += 1\n    is_found: bool",
        "    is_found: bool",
    ),
    "nothing of the compensation is burned": (
        "D2MJobs",
        "min(rest, store._part(p.compensation, store.R.burn_bps))",
        "min(rest, 0)",
    ),
    "a ruling is booked while the case is open": (
        "D2MJobs",
        "    store._check(f.closed != 0, store.TOO_EARLY)\n",
        "",
    ),
    "the time-out does not wait for the court": (
        "D2MJobs",
        "        store._check(is_heard and f.root == store.roots[slot], store.TOO_EARLY)\n",
        "",
    ),
    "who was only not answered for is banned": (
        "D2MJobs",
        "            if proven:\n",
        "            if True:\n",
    ),
    "the prize is that of who opened the case": (
        "D2MJobs",
        "    store._credit(finder, prize)\n",
        "    store._credit(j.disputer, prize)\n",
    ),
    "what has fallen stands where nobody shows another content": (
        "D2MJobs",
        "    if not is_found and store.R.bisection == 0:\n",
        "    if not is_found:\n",
    ),
    "where the court decides the nodes vote, too": (
        "D2MMarket",
        "j.phase == store.DISPUTED and store.R.bisection == 0",
        "j.phase == store.DISPUTED",
    ),
    "a job forgets that its model is spoilt": (
        "store",
        "        | convert(j.spoilt, uint256) << 10\n",
        "",
    ),
    "who is silent was not drawn": (
        "D2MVotes",
        "            d.silent[node // 256] |= bit\n",
        "",
    ),
    "a content of the last unit counts": (
        "D2MVotes",
        "d.is_open = self.told[job] == u.serial",
        "d.is_open = self.told[job] > 0",
    ),
}


def swap(text, old, new):
    """The text with one place changed."""
    assert text.count(old) == 1, old
    return text.replace(old, new)


@functools.cache
def mutant(name):
    """The contracts with one of the faults."""
    file, *change = FAULTS[name]
    texts = {file: swap(source_of(file), *change)}
    if file == "D2MVotes":
        return artifacts()._replace(votes=compile_contract(file, texts))
    return artifacts()._replace(market=compile_market(texts))
