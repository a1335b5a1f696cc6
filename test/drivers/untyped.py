# Calls by psycopg, which sends strings without a type and numbers as short as
# they are, and by psycopg2, which writes literals.
#
#   untyped.py module host port user file     lines as t/073_drivers.pl expects them

import importlib
import sys

module, host, port, user, path = sys.argv[1:]
driver = importlib.import_module(module)
calls = [
    ("read", "SELECT iopool_read(%s, %s, %s)", [path, 8, 8]),
    ("tail", "SELECT iopool_read(%s, %s, %s)", [path, "-8", "8"]),
    ("missing", "SELECT iopool_read(%s, %s, %s, %s)", [path + ".gone", 0, 8, True]),
    ("whole", "SELECT substr(iopool_read(%s), 9, 8)", [path]),
    ("whole, missing", "SELECT iopool_read(%s, %s)", [path + ".gone", "true"]),
    ("batch", "SELECT data FROM iopool_read_batch(%s, %s, %s)", [path, "{0,8}", "{8}"]),
    ("batch, all arguments", "SELECT data FROM iopool_read_batch(%s, %s, %s, %s, %s)", [path, [16, 24], [8, 4], "report", True]),
    ("batch of files", "SELECT data FROM iopool_read_batch(%s::text[], %s, %s, %s)", [[path, path], [0, 8], [8], "raise"]),
    ("array", "SELECT unnest(iopool_read_array(%s, %s, %s, %s))", [path, "{0,NULL}", "{8}", "report"]),
    ("prefetch", "SELECT int4send(iopool_prefetch(%s, %s, %s)::int)", [path, [0, 8], [8, 8]]),
    ("request", "SELECT data FROM iopool_fetch(iopool_submit(%s, %s, %s), %s)", [path, "{0,8}", "{8}", "raise"])]

connection = driver.connect(host=host, port=port, user=user, dbname="postgres")
cursor = connection.cursor()
for name, query, values in calls:
    cursor.execute(query, values)
    print(name + ": " + " ".join("null" if v is None else bytes(v).hex() for (v,) in cursor.fetchall()))
connection.close()
