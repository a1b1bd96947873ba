"""One file for each command that a daemon carries out."""
