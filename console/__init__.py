"""The marketers' pages: one file = one menu entry. Reads only; nothing here changes a row."""
