"""Whom a campaign is for: targets, the gate, freezing."""
