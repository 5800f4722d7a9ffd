#!/bin/sh
# As the official image starts: make the cluster once, then serve to the network with passwords.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  mkdir -p "$PGDATA"
  printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
  initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --encoding=UTF8 --locale=C \
    --auth-local=trust --auth-host=scram-sha-256 "$PGDATA"
  rm /tmp/password
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  pg_ctl --pgdata="$PGDATA" --wait -o "-c listen_addresses='' -k /tmp" start
  psql --host=/tmp --username="$POSTGRES_USER" --dbname=postgres \
    --command="CREATE DATABASE \"$POSTGRES_DB\""
  pg_ctl --pgdata="$PGDATA" --wait stop
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql
