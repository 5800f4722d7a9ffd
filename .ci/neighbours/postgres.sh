#!/bin/sh
# psql: what stands in the database is looked at as a user would.
exec sh "$(dirname "$0")/install" psql postgresql-client
