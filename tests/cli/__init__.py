"""The commands and their door."""
