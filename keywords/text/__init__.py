"""From a line to its terms: the tokenizer, its word lists, the vocabulary."""
