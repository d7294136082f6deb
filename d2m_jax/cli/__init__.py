"""Commands: each module has `main(argv)`; `scripts/` calls them. Read first: `door.py`."""
