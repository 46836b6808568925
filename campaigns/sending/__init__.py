"""Sending once: claim, commit, call, record."""
