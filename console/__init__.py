"""The marketer's pages: one file per menu entry."""
