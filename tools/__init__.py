"""Programs for those who develop dkrepl: checks that no library has, and what is generated from the code."""
