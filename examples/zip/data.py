#!/usr/bin/env python3
"""Two zip archives, always the same bytes.

data.py write DIR   writes DIR/plain.zip and DIR/large.zip
data.py list DIR    their members, as zipfile reads them: archive, name, size and SHA-256
"""
import hashlib
import sys
import zipfile

def content(n):
    return b'%d ' % n * (50 + n * 37 % 700)

def write(path, nmembers, comment):
    with zipfile.ZipFile(path, 'w') as archive:
        archive.comment = comment
        for n in range(nmembers):
            # every fifth member is compressed
            info = zipfile.ZipInfo('%02d/größe %d.txt' % (n % 10, n), (2026, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_STORED if n % 5 else zipfile.ZIP_DEFLATED
            archive.writestr(info, content(n))

if sys.argv[1] == 'write':
    write(sys.argv[2] + '/plain.zip', 1000, 'Grüße'.encode() * 4000)
    # As in an archive of more than 4 GB, numbers are kept in eight bytes.
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = 1000, 100
    write(sys.argv[2] + '/large.zip', 500, b'')
else:
    for name in 'plain.zip', 'large.zip':
        with zipfile.ZipFile(sys.argv[2] + '/' + name) as archive:
            for info in archive.infolist():
                member = archive.read(info)
                print(name, info.filename, len(member), hashlib.sha256(member).hexdigest(), sep='\t')
