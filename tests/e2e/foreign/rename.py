"""Gives tables of a SQLite database other names: `rename.py FILE FROM TO [FROM TO]...`. Whoever reads them meanwhile is
refused, as by a database that is away."""

import sqlite3
import sys

database = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
names = sys.argv[2:]
database.execute("pragma legacy_alter_table = on")
for old, new in zip(names[::2], names[1::2]):
    database.execute(f'alter table "{old}" rename to "{new}"')
