#!/bin/sh
# moto_server: answers as S3 does, for the tests of the artifact store. A simulator, and no S3.
# An environment of its own: its libraries are older than ours.
set -eu

version=5.2.5
if command -v moto_server >/dev/null 2>&1; then
  echo "neighbour moto_server: $(command -v moto_server)"
  exit 0
fi
if [ "$(id -u)" = 0 ]; then
  place=/opt/xyn-moto bin=/usr/local/bin
else
  place=${XDG_DATA_HOME:-$HOME/.local/share}/xyn-moto bin=$HOME/.local/bin
fi
python3 -m venv --clear "$place"
"$place/bin/pip" install --quiet --disable-pip-version-check "moto[s3,server]==$version"
mkdir -p "$bin"
ln -sf "$place/bin/moto_server" "$bin/moto_server"
echo "neighbour moto_server: $bin/moto_server"
