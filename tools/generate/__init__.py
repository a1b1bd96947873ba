"""Makes the files that follow from the code: reference, JSON Schema, shell completion."""
