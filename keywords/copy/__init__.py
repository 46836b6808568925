"""From terms to what may be written: suggestions."""
