#!/usr/bin/env node
// kafkajs: produces. It reads only as a member of a group, so `consume` is refused.
//
// Null keys: sent with key null; kafkajs deals them out in turn. Keyed records go where Java's
// default partitioner puts them, by kafkajs's own DefaultPartitioner. The codecs that kafkajs
// lacks come from plug-ins: snappy in raw form, lz4 as a frame, zstd.

"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const { parseArgs } = require("node:util");
const kafkajs = require("kafkajs");
const zstd = require("@mongodb-js/zstd");

const { CompressionCodecs, CompressionTypes } = kafkajs;
CompressionCodecs[CompressionTypes.Snappy] = require("kafkajs-snappy");
const Lz4 = require("kafkajs-lz4");
CompressionCodecs[CompressionTypes.LZ4] = new Lz4().codec;
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: (encoder) => zstd.compress(encoder.buffer, 3),
  decompress: (buffer) => zstd.decompress(buffer),
});

const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};

// kafkajs makes one batch a partition of each send: with 12 partitions some 120 KB a batch.
const RECORDS_PER_SEND = 5000;

async function* records(path) {
  const lines = readline.createInterface({ input: fs.createReadStream(path), crlfDelay: Infinity });
  for await (const line of lines) {
    const tab = line.indexOf("\t");
    yield tab < 0 ? { key: null, value: line } : { key: line.slice(0, tab), value: line.slice(tab + 1) };
  }
}

async function produce(args) {
  const kafka = new kafkajs.Kafka({
    clientId: "interop-kafkajs",
    brokers: [args.bootstrap],
    logLevel: kafkajs.logLevel.ERROR,
  });
  const producer = kafka.producer({
    createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    allowAutoTopicCreation: false,
  });
  await producer.connect();
  let sent = 0;
  let messages = [];
  const send = async () => {
    await producer.send({ topic: args.topic, acks: -1, compression: CODECS[args.codec], messages });
    sent += messages.length;
    messages = [];
  };
  for await (const record of records(args.input)) {
    messages.push(record);
    if (messages.length === RECORDS_PER_SEND) await send();
  }
  if (messages.length > 0) await send();
  await producer.disconnect();
  return { records: sent };
}

async function main() {
  const text = { type: "string" };
  const { values: args, positionals } = parseArgs({
    allowPositionals: true,
    options: { bootstrap: text, topic: text, partitions: text, codec: text, input: text, digest: text },
  });
  const scenario = positionals[0];
  if (scenario !== "produce") throw new Error(`kafkajs has no scenario ${scenario}`);
  if (!(args.codec in CODECS)) throw new Error(`unknown codec ${args.codec}`);
  const started = process.hrtime.bigint();
  const result = await produce(args);
  const seconds = Math.round(Number(process.hrtime.bigint() - started) / 1e7) / 100;
  const version = `${require("kafkajs/package.json").version} node ${process.versions.node}`;
  console.log(JSON.stringify({ client: "kafkajs", version, scenario, topic: args.topic, ...result, seconds }));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
