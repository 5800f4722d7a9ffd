#!/bin/sh
# libfaketime: gives a node a clock that jumps.
exec sh "$(dirname "$0")/install" faketime faketime
