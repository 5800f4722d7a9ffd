#!/bin/sh
# OpenSSH's server: commands of ssh.run are run by it.
set -eu
here=$(dirname "$0")
sh "$here/install" /usr/sbin/sshd openssh-server
sh "$here/install" ssh-keygen openssh-client
