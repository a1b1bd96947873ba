"""Runs on a node: compares blocks of a device with what was answered about them.

Standard input has a line "PLACE NUMBER" for each. Printed is a line for each that holds an older write, or parts of
two.
"""

import os
import struct
import sys

SIZE = 4096
device = os.open(sys.argv[1], os.O_RDONLY)
os.posix_fadvise(device, 0, 0, os.POSIX_FADV_DONTNEED)
for line in sys.stdin:
    place, number = map(int, line.split())
    found = os.pread(device, SIZE, place)
    seen, where = struct.unpack_from("<QQ", found)
    if found != struct.pack("<QQ", seen, where) * (SIZE // 16):
        print(f"{place}: parts of two writes where write {number} was answered")
    elif where != place or seen < number:
        print(f"{place}: write {seen} of {where} where write {number} was answered")
