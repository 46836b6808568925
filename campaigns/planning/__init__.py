"""When campaigns fire, and what state they are in."""
