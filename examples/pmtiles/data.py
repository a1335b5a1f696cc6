#!/usr/bin/env python3
"""PMTiles archives, version 3, always the same bytes.

data.py write DIR   writes DIR/world.pmtiles and DIR/packed.pmtiles, as the
                    specification says; the directories of the second are compressed
data.py list        every place of a tile: z, x, y and SHA-256, or \\N where there is none
"""
import gzip
import hashlib
import struct
import sys

MAX_ZOOM = 6
LEAF = 500      # entries of a leaf directory
NTILES = (4 ** (MAX_ZOOM + 1) - 1) // 3

def position(tile_id):
    """z, x and y: zoom by zoom, and in each of them along a Hilbert curve."""
    z, x, y, size = 0, 0, 0, 1
    while tile_id >= 4 ** z:
        tile_id -= 4 ** z
        z += 1
    while size < 2 ** z:
        right, down = tile_id >> 1 & 1, (tile_id ^ tile_id >> 1) & 1
        if not down:
            x, y = (size - 1 - y, size - 1 - x) if right else (y, x)
        x, y, size, tile_id = x + right * size, y + down * size, size * 2, tile_id >> 2
    return z, x, y

def content(tile_id):
    """A tenth of the tiles is missing, and many are the same."""
    digest = hashlib.sha256(b'%d' % tile_id).digest()
    if tile_id // 16 % 3 == 0:
        return b'water\n'
    return None if digest[0] < 26 else b'tile %d/%d/%d\n' % position(tile_id) + digest * (1 + digest[1] % 32)

def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)

def directory(entries):
    """entries: [tile_id, run_length, length, offset]; a run of 0 is a leaf."""
    before = [[0, 0, 0, -1]] + entries[:-1]
    columns = [e[0] - b[0] for e, b in zip(entries, before)], [e[1] for e in entries], [e[2] for e in entries], \
        [0 if e[3] == b[3] + b[2] else e[3] + 1 for e, b in zip(entries, before)]
    return varint(len(entries)) + b''.join(varint(n) for column in columns for n in column)

def write(path, compression, pack):
    entries, data, offsets = [], b'', {}
    for tile_id, tile in ((i, content(i)) for i in range(NTILES)):
        last = entries[-1] if entries else [-1, 0, 0, 0]
        if tile in offsets and [tile_id, offsets[tile]] == [last[0] + last[1], last[3]]:
            last[1] += 1
        elif tile is not None:
            if tile not in offsets:
                offsets[tile], data = len(data), data + tile
            entries.append([tile_id, 1, len(tile), offsets[tile]])
    root, leaves, metadata = [], b'', b'{"name":"world"}'
    for i in range(0, len(entries), LEAF):
        leaf = pack(directory(entries[i:i + LEAF]))
        root.append([entries[i][0], 0, len(leaf), len(leaves)])
        leaves += leaf
    sections, places, at = [pack(directory(root)), pack(metadata), leaves, data], [], 127
    for section in sections:
        places += [at, len(section)]
        at += len(section)
    header = struct.pack('<7sB11Q6B4iB2i', b'PMTiles', 3, *places, sum(e[1] for e in entries), len(entries), len(offsets),
                         1, compression, 1, 0, 0, MAX_ZOOM, -1800000000, -850000000, 1800000000, 850000000, 0, 0, 0)
    with open(path, 'wb') as file:
        file.write(header + b''.join(sections))

if sys.argv[1] == 'write':
    write(sys.argv[2] + '/world.pmtiles', 1, bytes)
    write(sys.argv[2] + '/packed.pmtiles', 2, lambda section: gzip.compress(section, mtime=0))
else:
    for number in range(NTILES):
        tile = content(number)
        print(*position(number), r'\N' if tile is None else hashlib.sha256(tile).hexdigest(), sep='\t')
