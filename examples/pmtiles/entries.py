#!/usr/bin/env python3
"""The tiles of a PMTiles archive whose directories are compressed, for COPY.

entries.py FILE   prints the archive's name, the first and the last number of each
                  run of tiles, and the offset and length of each tile in it
"""
import gzip
import os
import struct
import sys

def numbers(data):
    number = shift = 0
    for byte in data:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield number
            number = shift = 0

def entries(offset, length):
    """Of a directory, and of the leaves that it points to."""
    file.seek(offset)
    data = file.read(length)
    column = list(numbers(gzip.decompress(data) if compression == 2 else data))
    count, tile_id, at, size = column[0], 0, 0, 0
    for i in range(1, count + 1):
        tile_id += column[i]
        run, place = column[i + count], column[i + 3 * count]
        at = place - 1 if place else at + size
        size = column[i + 2 * count]
        if run == 0:
            yield from entries(leaves + at, size)
        else:
            yield tile_id, tile_id + run - 1, tiles + at, size

with open(sys.argv[1], 'rb') as file:
    magic, root, root_length, _, _, leaves, _, tiles, compression = struct.unpack('<8s7Q33xB29x', file.read(127))
    if magic != b'PMTiles\3' or compression not in (1, 2):
        sys.exit('%s is no PMTiles archive of version 3, or not compressed by gzip' % sys.argv[1])
    for entry in entries(root, root_length):
        print(os.path.basename(sys.argv[1]), *entry, sep='\t')
