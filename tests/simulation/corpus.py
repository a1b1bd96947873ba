"""Seeds that failed once. What a seed does changes with the simulator, so each says what it found then."""

CORPUS: tuple[int, ...] = (
    3,  # a target whose Welcome was lost was copied as a whole
    7,  # a confirmation that went back, after two flushes at once
    11,  # extents that left while a block of theirs was read from the disk
    21,  # a repeated Hello made the source forget which generations a target knows
    84,  # a target that had followed another source meanwhile
    104,  # a target past a flush whose writes were not durable
    131,  # a activity log that a killed process had left in memory only
    145,  # a generation taken as confirmed that an earlier epoch had waited for
    41050,  # a late first Hello made the source forget which generations a target knows
    2231,  # the last messages of a resync, lost at the high-water mark while writes went on: it never ended
)
