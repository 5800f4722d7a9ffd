#!/bin/sh
# Chromium, in which the pages are tried.
exec sh "$(dirname "$0")/install" chromium chromium fonts-dejavu-core
