"""Preferences: what customers lean to, as scores that fade, put on and taken off by two thresholds."""
