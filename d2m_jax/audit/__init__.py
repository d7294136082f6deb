"""Who plays against the market: strategies, deviations, games, literal re-execution."""
