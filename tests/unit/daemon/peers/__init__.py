"""What a daemon asks its peers, and what it answers them."""
