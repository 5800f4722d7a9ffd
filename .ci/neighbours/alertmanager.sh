#!/bin/sh
# Prometheus Alertmanager: posts real alerts to /hooks/<source>.
exec sh "$(dirname "$0")/install" prometheus-alertmanager prometheus-alertmanager
