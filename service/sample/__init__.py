"""A small brand to look at before one's own data is there: loaded whole, removed whole."""
