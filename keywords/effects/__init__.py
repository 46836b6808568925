"""From messages and their clicks to what each term adds: the model, and what is learned by it."""
