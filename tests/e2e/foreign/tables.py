"""Prints all rows of a SQLite database as JSON, by table. It is read while others write to it, and never written."""

import json
import sqlite3
import sys

database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
database.row_factory = sqlite3.Row


def plain(value):
    return value.hex() if isinstance(value, bytes) else value


names = [row["name"] for row in database.execute("select name from sqlite_master where type = 'table' order by name")]
tables = {
    name: [{key: plain(row[key]) for key in row.keys()} for row in database.execute(f'select * from "{name}"')]
    for name in names
}
print(json.dumps(tables))
