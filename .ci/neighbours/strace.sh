#!/bin/sh
# strace: shows what was synced to disk, and in which order.
exec sh "$(dirname "$0")/install" strace strace
