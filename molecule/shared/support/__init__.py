"""What the tests of all scenarios ask of the nodes, and do to them."""
