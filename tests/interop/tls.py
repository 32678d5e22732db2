#!/usr/bin/env python3
"""confluent-kafka over TLS with a certificate of its own: writes 100 records and reads them.

The settings are librdkafka's own; without its certificate, and with another authority, it must not
come in. The last line says how many records came back.
"""

import argparse
import sys

import confluent_kafka as kafka

COUNT = 100
PATIENCE_S = 30


def main():
    parser = argparse.ArgumentParser()
    for name in ["bootstrap", "ca", "certificate", "key"]:
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    trusting = {
        "bootstrap.servers": args.bootstrap,
        "security.protocol": "SSL",
        "ssl.ca.location": args.ca,
    }
    config = {
        **trusting,
        "ssl.certificate.location": args.certificate,
        "ssl.key.location": args.key,
    }
    producer = kafka.Producer({**config, "enable.idempotence": True})
    for number in range(COUNT):
        producer.produce("rdkafka", f"{number}")
    if producer.flush(PATIENCE_S):
        sys.exit("records were not acknowledged")
    consumer = kafka.Consumer({**config, "group.id": "tls", "auto.offset.reset": "earliest"})
    consumer.assign([kafka.TopicPartition("rdkafka", 0, 0)])
    seen = []
    while len(seen) < COUNT:
        message = consumer.poll(PATIENCE_S)
        if message is None or message.error():
            sys.exit(f"after {len(seen)} records: {message and message.error()}")
        seen.append(int(message.value()))
    consumer.close()
    if seen != list(range(COUNT)):
        sys.exit(f"other records came back: {seen}")
    refused = []
    stranger = kafka.Producer({**trusting, "error_cb": refused.append, "log_level": 0})
    for _ in range(PATIENCE_S):
        stranger.poll(1)
        if refused:
            break
    else:
        sys.exit("a client without a certificate met no error")
    print(f"{len(seen)} records")


main()
