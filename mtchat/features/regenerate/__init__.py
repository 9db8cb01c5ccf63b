"""Regenerates later turns after an earlier one has changed, if they no longer fit."""
