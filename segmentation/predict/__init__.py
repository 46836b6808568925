"""What a customer is likely to do next, learned from the brand's own orders. Only `files` knows files."""
