"""A seeded simulator of whole clusters: the code that ships, on virtual time, a faulty network and faulty disks."""
