"""The report for others: as a table, as one page that stands by itself, and as a message on a schedule."""
