#!/usr/bin/env bash
# Apache Kafka's own tool for access rules.
exec "$(dirname "$0")/kafka-run-class.sh" kafka.admin.AclCommand "$@"
