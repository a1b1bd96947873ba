"""How fast the device is, next to its yardsticks: `python -m tests.bench`."""
