#!/usr/bin/env python3
"""Documents of several servers, always the same bytes.

data.py write DIR PARTS SERVERS   writes DIR/SERVER/part_PART.txt, a document a line; part P is server P % SERVERS's
data.py list DIR/SERVER           its documents: part, id, file, offset, length, words and SHA-256
"""
import hashlib
import os
import sys

if sys.argv[1] == 'write':
    top, parts, servers = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    for part in range(parts):
        path = '%s/%d/part_%d.txt' % (top, part % servers, part)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            for id in range(part, 200 * parts, parts):
                file.write(b' '.join(b'%d' % (id + n) for n in range(20 + id * 7 % 900)) + b'\n')
else:
    for name in sorted(os.listdir(sys.argv[2])):
        if not name.startswith('part_'):
            continue
        with open(sys.argv[2] + '/' + name, 'rb') as file:
            offset = 0
            for line in file.read().splitlines():
                words = line.split()
                print(name[5:-4], words[0].decode(), name, offset, len(line), len(words),
                      hashlib.sha256(line).hexdigest(), sep='\t')
                offset += len(line) + 1
