"""Saying it once: schedule, audience, message, sending, clicks, results."""
