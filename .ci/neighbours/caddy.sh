#!/bin/sh
# Caddy: the edge that the pack edge keeps.
exec sh "$(dirname "$0")/install" caddy caddy
