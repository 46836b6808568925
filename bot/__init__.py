"""What customers touch: the webhook, the inbox, the door to LINE, replies and profiles."""
