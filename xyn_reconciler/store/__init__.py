"""Doors: the only room that imports dulwich, sqlalchemy and psycopg.

Git, Postgres and the files beside them, one function per question or change.
What lives here decides nothing: it takes values, asks or writes, and gives
values back. The caller owns the transaction.
"""
