#!/usr/bin/env python3
"""Albums of pictures and their thumbnails, always the same bytes.

data.py write DIR   writes DIR/YEAR/MONTH/NUMBER.png and DIR/YEAR/MONTH/thumb/NUMBER.png
data.py list DIR    the thumbnails: path, size in bytes, width, height and SHA-256
"""
import hashlib
import os
import struct
import sys
import zlib

def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

def png(width, height, seed):
    rows = b''.join(b'\0' + bytes((seed * 7 + x * y) % 256 for x in range(width)) for y in range(height))
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0))
            + chunk(b'IDAT', zlib.compress(rows, 0)) + chunk(b'IEND', b''))

def write(path, data, time):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as file:
        file.write(data)
    os.utime(path, (time, time))

if sys.argv[1] == 'write':
    for n in range(600):
        album = '%s/%d/%02d' % (sys.argv[2], 2024 + n // 300, 1 + n // 25 % 12)
        time = 1704067200 + n * 105120
        write('%s/%04d.png' % (album, n), png(160 + n % 7, 120, n), time)
        write('%s/thumb/%04d.png' % (album, n), png(32 + n % 9, 24, n), time)
else:
    for top, _, names in os.walk(sys.argv[2]):
        for name in names:
            if os.path.basename(top) == 'thumb':
                path = os.path.join(top, name)
                with open(path, 'rb') as file:
                    data = file.read()
                print(os.path.relpath(path, sys.argv[2]), len(data), *struct.unpack('>II', data[16:24]),
                      hashlib.sha256(data).hexdigest(), sep='\t')
