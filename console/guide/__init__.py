"""名詞: what the words of the console mean."""
