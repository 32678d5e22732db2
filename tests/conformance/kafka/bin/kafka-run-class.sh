#!/usr/bin/env bash
# What Apache Kafka's distribution has under this name, for librdkafka's tests: a class on its jars.
exec java -Xmx256m -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
  -cp "${CLASSPATH:-}:$KAFKA_PATH/libs/*" "$@"
