"""What the administrator describes, and the limits in force."""
