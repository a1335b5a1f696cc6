#!/usr/bin/env python3
"""Vectors, always the same.

data.py write DIR VECTORS   writes DIR/vectors.f4, float4 one after the other,
                            and DIR/vectors.copy, the same for COPY (FORMAT binary)
data.py nearest DIR         for each query its number, the vector, and the numbers
                            of the nearest ones, by brute force
"""
import array
import math
import random
import struct
import sys

DIMS = 128
QUERIES = 20
NEAREST = 10
CLUSTER = 200
NOISE = [(n - 127.5) / 64 for n in range(256)]

generator = random.Random(4711)

def noise():
    return [NOISE[byte] for byte in generator.randbytes(DIMS)]

def near(centre):
    return [a + b for a, b in zip(centre, noise())]

def write(path, nvectors):
    centres = [noise() for _ in range(nvectors // CLUSTER)]
    with open(path + '/vectors.f4', 'wb') as file, open(path + '/vectors.copy', 'wb') as copy:
        copy.write(b'PGCOPY\n\xff\r\n\0' + struct.pack('>ii', 0, 0))
        for n in range(nvectors):
            v = near(centres[n % len(centres)])
            file.write(struct.pack('<%df' % DIMS, *v))
            copy.write(struct.pack('>hiiihh%df' % DIMS, 2, 4, n, 4 + 4 * DIMS, DIMS, 0, *v))
        copy.write(struct.pack('>h', -1))

def nearest(path):
    numbers = array.array('f')
    with open(path + '/vectors.f4', 'rb') as file:
        numbers.frombytes(file.read())
    if sys.byteorder == 'big':
        numbers.byteswap()
    vectors = [numbers[at:at + DIMS] for at in range(0, len(numbers), DIMS)]
    centres = [noise() for _ in range(len(vectors) // CLUSTER)]
    generator.seed(42)
    for n in range(QUERIES):
        query = near(centres[n * 31 % len(centres)])
        order = sorted(range(len(vectors)), key=lambda i: math.dist(vectors[i], query))
        print(n, query, '{%s}' % ','.join(map(str, order[:NEAREST])), sep='\t')

if sys.argv[1] == 'write':
    write(sys.argv[2], int(sys.argv[3]))
else:
    nearest(sys.argv[2])
