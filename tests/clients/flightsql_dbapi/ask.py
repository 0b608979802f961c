"""Asks by flightsql-dbapi and SQLAlchemy 1.4, and tells in JSON what came of it: `ask.py '{"NAME": [URL, VERB, WORD…], …}'`.

A program of its own, in a folder of its own: its SQLAlchemy is older than that of the other tests, and its package has the
name of our flightsql.py.
"""

import json
import sys
import warnings

import flightsql.sqlalchemy  # noqa: F401, it registers the dialect
import sqlalchemy as sa

warnings.simplefilter("ignore")


def orders():
    columns = [sa.column("_id", sa.Text), sa.column("total", sa.BigInteger), sa.column("state", sa.Text)]
    return sa.table("orders", *columns, schema="shop")


def rows(engine, statement):
    with engine.connect() as connection:
        return [list(row) for row in connection.execute(statement)]


def tables(engine, schema):
    looked = sa.inspect(engine)
    columns = {column["name"]: str(column["type"]) for column in looked.get_columns("orders", schema=schema)}
    return {"schemas": looked.get_schema_names(), "tables": looked.get_table_names(schema=schema), "columns": columns}


def built(engine):
    table = orders()
    return rows(engine, sa.select([table.c._id, table.c.total]).order_by(table.c._id).limit(2))


def bind(engine, total, state):
    table = orders()
    return rows(engine, sa.select([table.c._id]).where(table.c.total == int(total)).where(table.c.state == state))


def again(engine, refused, then):
    with engine.connect() as connection:
        try:
            connection.execute(refused)
            said = ""
        except Exception as error:
            said = str(error)
        return {"said": said, "then": [list(row) for row in connection.execute(then)]}


VERBS = {"tables": tables, "built": built, "bind": bind, "query": rows, "again": again}


def told(url, verb, *words):
    try:
        return VERBS[verb](sa.create_engine(url), *words)
    except Exception as error:
        return {"refused": str(error)}


steps = json.loads(sys.argv[1])
print(json.dumps({name: told(*step) for name, step in steps.items()}, default=str))
