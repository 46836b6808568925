"""Rules: conditions on customers, as data. Their types, JSON, words for people, and the one compiler."""
