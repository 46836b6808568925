"""Which version wins: who gets what, how many people it takes, when to stop, what is learned from."""
