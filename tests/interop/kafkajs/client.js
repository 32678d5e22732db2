#!/usr/bin/env node
// kafkajs: produces, reads as the one member of a group (it has no reading by assignment), is a
// member of groups (eager), and administers. What each step is, ../drive.py says.
//
// Null keys: sent with key null; kafkajs deals them out in turn. Keyed records go where Java's
// default partitioner puts them, by kafkajs's own DefaultPartitioner. The codecs that kafkajs
// lacks come from plug-ins: snappy in raw form, lz4 as a frame, zstd.

"use strict";

const assert = require("node:assert");
const fs = require("node:fs");
const readline = require("node:readline");
const { parseArgs } = require("node:util");
const kafkajs = require("kafkajs");
const zstd = require("@mongodb-js/zstd");
const { Digest } = require("./digest.js");

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

function connect(args) {
  return new kafkajs.Kafka({
    clientId: "interop-kafkajs",
    brokers: [args.bootstrap],
    logLevel: kafkajs.logLevel.NOTHING,
  });
}

async function produce(args) {
  const producer = connect(args).producer({
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

async function consume(args) {
  const kafka = connect(args);
  const admin = kafka.admin();
  await admin.connect();
  const ends = new Map();
  for (const { partition, high } of await admin.fetchTopicOffsets(args.topic)) {
    if (Number(high) > 0) ends.set(partition, Number(high));
  }
  await admin.disconnect();
  const digest = new Digest(Number(args.partitions));
  const consumer = grouped(args, `interop-kafkajs-${process.pid}-${Date.now()}`);
  await consumer.connect();
  await consumer.subscribe({ topic: args.topic, fromBeginning: true });
  let last = Date.now();
  await new Promise((resolve, reject) => {
    const watch = setInterval(() => {
      if (Date.now() - last > QUIET_MAX_MS) reject(new Error(`nothing for ${QUIET_MAX_MS} ms`));
      if (ends.size > 0) return;
      clearInterval(watch);
      resolve();
    }, 20);
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    const eachBatch = async ({ batch }) => {
      last = Date.now();
      for (const message of batch.messages) {
        digest.add(batch.partition, Number(message.offset), message.key, message.value);
      }
      if (Number(batch.lastOffset()) + 1 >= ends.get(batch.partition)) ends.delete(batch.partition);
    };
    consumer.run({ autoCommit: false, eachBatch, partitionsConsumedConcurrently: 12 }).catch(reject);
  });
  await consumer.disconnect();
  if (args.digest) fs.writeFileSync(args.digest, digest.text());
  return digest.result();
}

function grouped(args, groupId = args.group, more = {}) {
  // It sends its heartbeats between fetches, which must therefore be short.
  const timing = { heartbeatInterval: 1000, maxWaitTimeInMs: 500 };
  return connect(args).consumer({ groupId, ...timing, ...more });
}

function say(member, event) {
  console.log(JSON.stringify({ member, ...event }));
}

// Members until SIGTERM, one line of JSON an event.
async function members(args) {
  const running = [];
  for (let index = 0; index < Number(args.count); index += 1) running.push(member(args, index));
  const consumers = await Promise.all(running);
  await new Promise((resolve) => process.once("SIGTERM", resolve));
  await Promise.all(consumers.map((consumer) => consumer.disconnect()));
}

async function member(args, index) {
  const consumer = grouped(args, args.group, { sessionTimeout: Number(args.session) });
  const { GROUP_JOIN, REBALANCING, CRASH } = consumer.events;
  consumer.on(GROUP_JOIN, ({ payload }) => {
    say(index, { owns: payload.memberAssignment[args.topic] || [] });
  });
  consumer.on(REBALANCING, () => say(index, { owns: [] }));
  consumer.on(CRASH, ({ payload }) => {
    console.error(payload.error);
    if (!payload.restart) process.exit(1);
  });
  await consumer.connect();
  await consumer.subscribe({ topic: args.topic, fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      say(index, { read: [batch.partition, Number(batch.firstOffset()), Number(batch.lastOffset())] });
      const offset = String(Number(batch.lastOffset()) + 1);
      await consumer.commitOffsets([{ topic: batch.topic, partition: batch.partition, offset }]);
    },
  });
  return consumer;
}

// A consumer whose messages can be awaited one at a time.
class Reader {
  constructor(args) {
    this.args = args;
    this.waiting = [];
    this.consumer = grouped(args);
  }

  async start() {
    await this.consumer.connect();
    await this.consumer.subscribe({ topic: this.args.topic, fromBeginning: true });
    await this.consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        this.waiting.push({ partition, offset: message.offset, value: String(message.value) });
      },
    });
    return this;
  }

  // The next message that `fits`; those before it are dropped.
  async next(fits = () => true, within = QUIET_MAX_MS) {
    const givenUpAt = Date.now() + within;
    while (Date.now() < givenUpAt) {
      const message = this.waiting.shift();
      if (message && fits(message)) return message;
      if (!message) await sleep(5);
    }
    return null;
  }
}

async function offsets(args, step) {
  await produceTimed(args);
  const kafka = connect(args);
  const admin = kafka.admin();
  await admin.connect();
  const { topic, group: groupId } = args;
  let reader = await new Reader(args).start();
  await step("commit", async () => {
    assert.equal((await reader.next()).offset, "0");
    const noted = { topic, partition: 0, offset: "10", metadata: NOTE };
    await reader.consumer.commitOffsets([noted]);
  });
  await step("committed", async () => {
    const [found] = await admin.fetchOffsets({ groupId, topics: [topic] });
    assert.deepEqual(found.partitions, [{ partition: 0, offset: "10", metadata: NOTE }]);
  });
  await reader.consumer.disconnect();
  reader = await new Reader(args).start();
  await step("resume", async () => assert.equal((await reader.next()).offset, "10"));
  await step("seek", async () => {
    // What was fetched before a seek may still come: so all of it first.
    await reader.next(({ offset }) => offset === "99");
    reader.consumer.seek({ topic, partition: 0, offset: "50" });
    assert.equal((await reader.next()).offset, "50");
  });
  await step("seek_time", async () => {
    const [found] = await admin.fetchTopicOffsetsByTimestamp(topic, TIMED_FROM_MS + 69500);
    assert.equal(found.offset, "70");
    await reader.next(({ offset }) => offset === "99");
    reader.consumer.seek({ topic, partition: 0, offset: found.offset });
    assert.equal((await reader.next()).value, "70");
  });
  await step("pause", async () => {
    await reader.next(({ offset }) => offset === "99");
    reader.consumer.pause([{ topic }]);
    reader.consumer.seek({ topic, partition: 0, offset: "71" });
    assert.equal(await reader.next(undefined, 700), null);
    reader.consumer.resume([{ topic }]);
    assert.equal((await reader.next()).offset, "71");
  });
  await reader.consumer.disconnect();
  await admin.disconnect();
}

async function admin(args, step) {
  const kafka = connect(args);
  const client = kafka.admin();
  await client.connect();
  const { topic } = args;
  const fresh = { topics: [{ topic, numPartitions: 3, replicationFactor: 1 }] };
  await step("create", async () => assert.equal(await client.createTopics(fresh), true));
  // It tells a topic that is there already from other errors, by answering false.
  await step("exists", async () => assert.equal(await client.createTopics(fresh), false));
  const partitions = async (name) =>
    (await client.fetchTopicMetadata({ topics: [name] })).topics[0].partitions.length;
  await step("describe", async () => assert.equal(await partitions(topic), 3));
  await step("unknown", async () => {
    await assert.rejects(partitions(`${topic}-absent`), { type: "UNKNOWN_TOPIC_OR_PARTITION" });
  });
  const resource = { type: kafkajs.ConfigResourceTypes.TOPIC, name: topic };
  const retention = async () => {
    const asked = [{ ...resource, configNames: ["retention.ms"] }];
    const found = await client.describeConfigs({ resources: asked });
    return found.resources[0].configEntries[0];
  };
  await step("configs", async () => {
    const { configValue, configSource } = await retention();
    assert.deepEqual([configValue, configSource], ["604800000", kafkajs.ConfigSource.DEFAULT_CONFIG]);
  });
  await step("alter", async () => {
    const configEntries = [{ name: "retention.ms", value: "3600000" }];
    await client.alterConfigs({ resources: [{ ...resource, configEntries }] });
    await until(async () => (await retention()).configValue === "3600000");
  });
  await step("grow", async () => {
    await client.createPartitions({ topicPartitions: [{ topic, count: 5 }] });
    await until(async () => (await partitions(topic)) === 5);
  });
  await step("delete_records", async () => {
    await produceTimed(args);
    await client.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "5" }] });
    const found = await client.fetchTopicOffsets(topic);
    assert.equal(found.find(({ partition }) => partition === 0).low, "5");
  });
  await groups(args, step, client);
  await step("delete", async () => {
    await client.deleteTopics({ topics: [topic] });
    await until(async () => !(await client.listTopics()).includes(topic));
  });
  await client.disconnect();
}

async function groups(args, step, client) {
  const reader = await new Reader(args).start();
  assert.equal((await reader.next()).offset, "5");
  await reader.consumer.commitOffsets([{ topic: args.topic, partition: 0, offset: "6" }]);
  const listed = async () =>
    (await client.listGroups()).groups.some(({ groupId }) => groupId === args.group);
  const described = async () => (await client.describeGroups([args.group])).groups[0];
  await step("list_groups", async () => assert.equal(await listed(), true));
  await step("describe_group", async () => {
    const found = await described();
    assert.equal(found.state, "Stable");
    assert.deepEqual(found.members.map(({ clientId }) => clientId), ["interop-kafkajs"]);
    const { assignment } = kafkajs.AssignerProtocol.MemberAssignment.decode(
      found.members[0].memberAssignment,
    );
    assert.deepEqual(assignment[args.topic].sort(), [0, 1, 2, 3, 4]);
  });
  await step("delete_busy_group", async () => {
    const failed = await client.deleteGroups([args.group]).catch((error) => error);
    assert.equal(failed.groups[0].error.type, "NON_EMPTY_GROUP");
  });
  await reader.consumer.disconnect();
  await step("delete_group", async () => {
    assert.equal((await described()).state, "Empty");
    await client.deleteGroups([args.group]);
    assert.equal(await listed(), false);
  });
}

async function produceTimed(args) {
  const producer = connect(args).producer({
    createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
  });
  await producer.connect();
  const messages = [];
  for (let i = 0; i < TIMED_RECORDS; i += 1) {
    messages.push({ partition: 0, value: String(i), timestamp: String(TIMED_FROM_MS + i * 1000) });
  }
  await producer.send({ topic: args.topic, acks: -1, messages });
  await producer.disconnect();
}

const QUIET_MAX_MS = 30_000;
const TIMED_RECORDS = 100;
const TIMED_FROM_MS = 1_600_000_000_000;
const NOTE = "note-10";

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function until(condition) {
  const givenUpAt = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > givenUpAt) throw new Error("not within 10 s");
    await sleep(20);
  }
}

// The steps of a scenario, by name; the first that fails ends it.
async function inSteps(scenario, args) {
  const steps = [];
  await scenario(args, async (name, body) => {
    try {
      await body();
    } catch (error) {
      throw new Error(`step ${name}: ${error.name} ${error.message}`);
    }
    steps.push(name);
  });
  return { steps };
}

async function main() {
  const text = { type: "string" };
  const { values: args, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      bootstrap: text, topic: text, codec: { ...text, default: "none" }, input: text, digest: text,
      partitions: { ...text, default: "12" }, group: text, count: { ...text, default: "3" },
      instance: text, assignor: text, session: { ...text, default: "6000" },
    },
  });
  const scenario = positionals[0];
  const scenarios = {
    produce,
    consume,
    offsets: () => inSteps(offsets, args),
    admin: () => inSteps(admin, args),
  };
  if (scenario === "member") {
    await members(args);
    return;
  }
  if (!(scenario in scenarios)) throw new Error(`kafkajs has no scenario ${scenario}`);
  if (!(args.codec in CODECS)) throw new Error(`unknown codec ${args.codec}`);
  const started = process.hrtime.bigint();
  const result = await scenarios[scenario](args);
  const seconds = Math.round(Number(process.hrtime.bigint() - started) / 1e7) / 100;
  const version = `${require("kafkajs/package.json").version} node ${process.versions.node}`;
  console.log(JSON.stringify({ client: "kafkajs", version, scenario, topic: args.topic, ...result, seconds }));
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
