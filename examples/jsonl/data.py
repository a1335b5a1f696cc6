#!/usr/bin/env python3
"""A file of JSON documents, one a line, always the same bytes.

data.py write DIR    writes DIR/events.jsonl
data.py append DIR   writes more lines to its end, the last of them in part
data.py list DIR     its whole lines: id, kind, offset, length and SHA-256
"""
import hashlib
import json
import sys

def line(n):
    event = {'id': n, 'kind': ('create', 'update', 'delete')[n * 7 % 3], 'text': '“%d” ' % n * (n * 37 % 40)}
    return json.dumps(event, ensure_ascii=n % 2 == 0).encode() + b'\n'

path = sys.argv[2] + '/events.jsonl'
if sys.argv[1] == 'write':
    with open(path, 'wb') as file:
        file.writelines(line(n) for n in range(12000))
elif sys.argv[1] == 'append':
    with open(path, 'ab') as file:
        file.writelines(line(n) for n in range(12000, 15000))
        file.write(line(15000)[:20])
else:
    offset = 0
    for data in open(path, 'rb'):
        if data.endswith(b'\n'):
            event = json.loads(data)
            print(event['id'], event['kind'], offset, len(data) - 1, hashlib.sha256(data[:-1]).hexdigest(), sep='\t')
        offset += len(data)
