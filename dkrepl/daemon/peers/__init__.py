"""What peers are asked, and what they are told."""
