"""Which words bring clicks: tokenizer, lexicon, ranking, report, suggestion."""
