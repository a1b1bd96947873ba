"""The containers of the demo and of the Molecule tests, and the story that the demo tells."""
