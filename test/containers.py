"""Containers of sixteen kinds, and where their members are.

python3 containers.py DIR   makes them in DIR, each by a tool of its own, and
                            tells for each member, separated by tabs: kind, file,
                            offset, length and SHA-256

Where a member is, another program or library tells than the one that is tested;
the digest is that of what went into the container.  Where that is compressed, the
bytes at that place have to give it, or the checksum that the format has of them.
"""

import gzip
import hashlib
import io
import json
import lzma
import os
import random
import re
import sqlite3
import subprocess
import sys
import tarfile
import wave
import zipfile
import zlib

NMEMBERS = 60

generator = random.Random(14)
top = os.path.abspath(sys.argv[1])

# Names and bytes that go into most of the containers: none, few and many.
sizes = [0, 1, 511, 512, 513, 4096] + [generator.randrange(1, 9000) for _ in range(NMEMBERS - 6)]
members = {'member-%03d' % n: generator.randbytes(size) for n, size in enumerate(sizes)}


def path(name):
    return os.path.join(top, name)


def run(*command, **options):
    options = {'cwd': path('in'), 'check': True, 'stdout': subprocess.PIPE, **options}
    return subprocess.run([str(word) for word in command], **options).stdout


def lines(*command, **options):
    return run(*command, **options).decode().splitlines()


def slurp(name, offset=0, length=-1):
    with open(path(name), 'rb') as file:
        file.seek(offset)
        return file.read(length)


def insist(condition, what):
    if not condition:
        sys.exit('containers.py: ' + what)


# --------------------------------------------------------------------------
# Each of these makes one, and yields file, offset, length and what is there.

def make_tar():
    run('tar', '--create', '--format=gnu', '--file', path('a.tar'), *members)
    yield from members_of_tar('a.tar', 0, None)


def members_of_tar(name, base, length):
    with tarfile.open(fileobj=io.BytesIO(slurp(name, base, -1 if length is None else length))) as archive:
        for member in archive:
            if member.isfile():
                yield name, base + member.offset_data, member.size, members[os.path.basename(member.name)]


def make_cpio():
    names = '\n'.join(members).encode()
    run('cpio', '--create', '--format=newc', '--quiet', '--file', path('a.cpio'), input=names)
    data, at = slurp('a.cpio'), 0
    while True:
        insist(data[at:at + 6] == b'070701', 'no header of cpio')
        size, name_size = (int(data[at + i:at + i + 8], 16) for i in (54, 94))
        name = data[at + 110:at + 109 + name_size].decode()
        if name == 'TRAILER!!!':
            return
        at = (at + 110 + name_size + 3) & ~3
        yield 'a.cpio', at, size, members[name]
        at = (at + size + 3) & ~3


def make_ar():
    run('ar', 'qcS', path('a.a'), *members)
    for name, offset in members_of_ar('a.a'):
        yield 'a.a', offset, len(members[name]), members[name]


def members_of_ar(name):
    """By GNU ar's own list."""
    for line in lines('ar', 'tO', path(name)):
        member, offset = line.split()
        yield member, int(offset, 16)


def make_deb():
    run('mkdir', '-p', 'deb/DEBIAN', 'deb/usr/share/a', cwd=top)
    with open(path('deb/DEBIAN/control'), 'w') as control:
        control.write('Package: a\nVersion: 1\nArchitecture: all\n'
                      'Maintainer: nobody <nobody@localhost>\nDescription: none\n')
    run('cp', *members, path('deb/usr/share/a'))
    run('dpkg-deb', '--build', '--root-owner-group', '-Znone', path('deb'), path('a.deb'))
    places = dict(members_of_ar('a.deb'))
    yield 'a.deb', places['debian-binary'], 4, b'2.0\n'
    yield from members_of_tar('a.deb', places['data.tar'], None)


def make_zip():
    with zipfile.ZipFile(path('a.zip'), 'w') as archive:
        for n, (name, data) in enumerate(members.items()):
            if n % 2:
                archive.writestr(name, data, zipfile.ZIP_STORED)
            else:
                archive.writestr(name, data + bytes(500), zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(path('a.zip')) as archive:
        for n, info in enumerate(archive.infolist()):
            header = slurp('a.zip', info.header_offset, 30)
            offset = info.header_offset + 30 + sum(int.from_bytes(header[i:i + 2], 'little') for i in (26, 28))
            data = members[info.filename]
            if n % 2 == 0:
                packed = slurp('a.zip', offset, info.compress_size)
                insist(zlib.decompress(packed, -15) == data + bytes(500), 'another member of zip')
                data = packed
            yield 'a.zip', offset, info.compress_size, data


def make_git():
    git = ['git', '-c', 'user.name=a', '-c', 'user.email=a@localhost', '-c', 'gc.auto=0',
           '--git-dir', path('git'), '--work-tree', '.']
    run(*git, 'init', '-q')
    run(*git, 'add', '--all')
    run(*git, 'commit', '-q', '-m', 'all')
    run(*git, 'repack', '-q', '-a', '-d')
    (name,) = [f for f in os.listdir(path('git/objects/pack')) if f.endswith('.pack')]
    name = 'git/objects/pack/' + name
    index = name[:-4] + 'idx'
    with open(path(index), 'rb') as file:
        entries = [line.split() for line in lines(*git, 'show-index', stdin=file)]
    crcs = {digest: int(crc.strip('()'), 16) for _, digest, crc in entries}
    for line in lines('git', 'verify-pack', '-v', path(index)):
        match = re.match(r'([0-9a-f]{40,}) \w+ +\d+ (\d+) (\d+)', line)
        if match:
            length, offset = int(match[2]), int(match[3])
            entry = slurp(name, offset, length)
            insist(zlib.crc32(entry) == crcs[match[1]], 'another entry of the pack')
            yield name, offset, length, entry


def make_elf():
    with open(path('a.c'), 'w') as source:
        for n in range(NMEMBERS):
            source.write('int f%d(int i) { return i * %d; }\n' % (n, n * 4711))
            source.write('const char a%d[] = "%s";\n' % (n, 'x%d ' % n * (n + 1)))
    run('gcc', '-c', '-ffunction-sections', '-fdata-sections', '-o', path('a.o'), path('a.c'))
    sections = []
    for line in lines('readelf', '--section-headers', '--wide', path('a.o')):
        match = re.match(r' *\[ *\d+\] (\S+) +PROGBITS +[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+)', line)
        if match and re.match(r'\.(text|rodata)\.', match[1]):
            sections.append((match[1], int(match[2], 16), int(match[3], 16)))
    os.mkdir(path('sections'))
    dump = [word for name, *_ in sections for word in ('--dump-section', '%s=%s' % (name, path('sections/' + name)))]
    run('objcopy', *dump, path('a.o'), path('copy.o'))
    for name, offset, length in sections:
        yield 'a.o', offset, length, slurp('sections/' + name)


def make_sqlite():
    database = sqlite3.connect(path('a.sqlite'))
    database.execute('CREATE TABLE member (name text PRIMARY KEY, data blob)')
    database.executemany('INSERT INTO member VALUES (?, ?)', members.items())
    database.commit()
    # A copy of all pages that SQLite makes from what it has.
    (page_size,) = database.execute('PRAGMA page_size').fetchone()
    pages = database.serialize()
    database.close()
    for offset in range(0, len(pages), page_size):
        yield 'a.sqlite', offset, page_size, pages[offset:offset + page_size]


def make_wav():
    with wave.open(path('a.wav'), 'wb') as sound:
        sound.setparams((2, 2, 44100, 0, 'NONE', ''))
        sound.writeframes(generator.randbytes(4 * 441 * NMEMBERS))
    with wave.open(path('a.wav'), 'rb') as sound:
        offset = os.path.getsize(path('a.wav')) - 4 * sound.getnframes()
        for _ in range(NMEMBERS):
            frames = sound.readframes(441)
            yield 'a.wav', offset, len(frames), frames
            offset += len(frames)


def make_gzip():
    for data in members.values():
        run('gzip', '--no-name', '--stdout', input=data, stdout=open(path('a.gz'), 'ab'))
    rest = whole = slurp('a.gz')
    unpacked = b''
    while rest:
        stream = zlib.decompressobj(31)
        unpacked += stream.decompress(rest)
        length = len(rest) - len(stream.unused_data)
        yield 'a.gz', len(whole) - len(rest), length, rest[:length]
        rest = stream.unused_data
    insist(unpacked == b''.join(members.values()), 'other members of gzip')


def make_xz():
    whole = b''.join(members.values())
    run('xz', '--format=xz', '--block-size=4096', '--stdout', input=whole, stdout=open(path('a.xz'), 'wb'))
    for line in lines('xz', '--robot', '--list', '-vv', path('a.xz')):
        columns = line.split('\t')
        if columns[0] == 'block':
            start, from_, size, header, packed = (int(columns[i]) for i in (4, 5, 7, 11, 13))
            data = slurp('a.xz', start + header, packed)
            filters = [{'id': lzma.FILTER_LZMA2, 'dict_size': 1 << 26}]
            unpacked = lzma.decompress(data, lzma.FORMAT_RAW, filters=filters)
            insist(unpacked == whole[from_:from_ + size], 'another block of xz')
            yield 'a.xz', start + header, packed, data


def make_ext4():
    run('mke2fs', '-q', '-t', 'ext4', '-b', '1024', '-d', path('in'), path('a.ext4'), '4M')
    commands = ''.join('blocks /%s\n' % name for name in members)
    output = run('debugfs', '-f', '-', path('a.ext4'), input=commands.encode(), stderr=subprocess.DEVNULL)
    for name, blocks in re.findall(r'^debugfs: *blocks /(\S+)\n([\d ]*)$', output.decode(), re.M):
        for n, block in enumerate(blocks.split()):
            data = members[name][1024 * n:1024 * (n + 1)]
            yield 'a.ext4', 1024 * int(block), len(data), data


def make_iso9660():
    run('genisoimage', '-quiet', '-r', '-o', path('a.iso'), path('in'))
    for line in lines('isoinfo', '-R', '-l', '-i', path('a.iso')):
        match = re.match(r'-\S+ +\d+ +\d+ +\d+ +(\d+) .*\[ *(\d+) \d+\] +(member-\d+)', line)
        if match:
            yield 'a.iso', 2048 * int(match[2]), int(match[1]), members[match[3]]


def make_tiff():
    pixels = generator.randbytes(3 * 200 * 4 * NMEMBERS)
    with open(path('pixels'), 'wb') as file:
        file.write(pixels)
    run('raw2tiff', '-w', 200, '-l', 4 * NMEMBERS, '-b', 3, '-d', 'byte', '-p', 'rgb', '-c', 'none',
        path('pixels'), path('raw.tif'))
    # raw2tiff turns the bits of all bytes round.
    run('tiffcp', '-f', 'msb2lsb', '-c', 'none', '-r', 4, path('raw.tif'), path('a.tif'))
    listing = run('tiffinfo', '-s', path('a.tif')).decode()
    for n, offset, length in re.findall(r'^ +(\d+): \[ *(\d+), +(\d+)\]', listing, re.M):
        first = 3 * 200 * 4 * int(n)
        yield 'a.tif', int(offset), int(length), pixels[first:first + 3 * 200 * 4]


def make_hdf5():
    # It takes fewer than thirty at a time, and none that is empty.
    names = [name for name in members if members[name]][:29]
    imports = [(name, '-d', len(members[name]), '-p', 'group/' + name, '-t', 'UIN', '-s', 8) for name in names]
    run('h5import', *(word for words in imports for word in words), '-o', path('a.h5'))
    listing = run('h5dump', '-p', '-H', path('a.h5')).decode()
    for name, size, offset in re.findall(r'DATASET "(\S+)".*?SIZE (\d+)\s+OFFSET (\d+)', listing, re.S):
        yield 'a.h5', int(offset), int(size), members[name]


def make_jsonl():
    documents = [{'n': n, 'data': data.hex(), 'text': 'größe ' * (n % 7)} for n, data in enumerate(members.values())]
    with open(path('a.jsonl'), 'w', encoding='utf-8') as file:
        for document in documents:
            file.write(json.dumps(document, ensure_ascii=False) + '\n')
    offset = 0
    with open(path('a.jsonl'), 'rb') as file:
        for document, line in zip(documents, file):
            insist(json.loads(line) == document, 'another document')
            yield 'a.jsonl', offset, len(line) - 1, line[:-1]
            offset += len(line)


# --------------------------------------------------------------------------

os.mkdir(path('in'))
for name, data in members.items():
    with open(path('in/' + name), 'wb') as file:
        file.write(data)
for kind, make in sorted((name[5:], make) for name, make in list(globals().items()) if name.startswith('make_')):
    for file, offset, length, data in make():
        insist(length == len(data), 'a member of %s has %d bytes, not %d' % (kind, length, len(data)))
        print(kind, file, offset, length, hashlib.sha256(data).hexdigest(), sep='\t')
