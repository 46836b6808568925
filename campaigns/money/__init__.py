"""What a campaign costs and what it is expected to bring."""
