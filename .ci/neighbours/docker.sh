#!/bin/sh
# Docker's engine and compose, and debootstrap, which makes base images without a registry.
set -eu
here=$(dirname "$0")
sh "$here/install" dockerd docker.io docker-compose iptables
sh "$here/install" docker-compose docker-compose
sh "$here/install" debootstrap debootstrap
sh "$here/install" busybox busybox-static
