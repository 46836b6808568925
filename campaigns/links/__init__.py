"""Tracked links and who tapped them."""
