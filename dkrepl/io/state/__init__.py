"""Files in the state directory, and where files are."""
