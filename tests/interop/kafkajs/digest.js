// The digest that ../flights.py defines.

"use strict";

const { createHash } = require("node:crypto");

const sha256 = (...parts) => {
  const hash = createHash("sha256");
  parts.forEach((part) => hash.update(part));
  return hash;
};

class Digest {
  constructor(partitions) {
    this.next = new Array(partitions).fill(0);
    this.keys = new Map();
    this.nullValues = [];
    this.records = 0;
    this.bytes = 0;
    this.gaps = 0;
  }

  add(partition, offset, key, value) {
    if (offset !== this.next[partition]) this.gaps += 1;
    this.next[partition] = offset + 1;
    this.records += 1;
    this.bytes += value.length + (key === null ? 0 : key.length);
    if (key === null) {
      this.nullValues.push(sha256(value).digest());
      return;
    }
    const name = key.toString("latin1");
    let entry = this.keys.get(name);
    if (!entry) {
      entry = { key, partitions: new Set(), count: 0, hash: createHash("sha256") };
      this.keys.set(name, entry);
    }
    const length = Buffer.alloc(4);
    length.writeUInt32BE(value.length);
    entry.partitions.add(partition);
    entry.count += 1;
    entry.hash.update(length).update(value);
  }

  text() {
    const entries = [...this.keys.values()].sort((a, b) => Buffer.compare(a.key, b.key));
    const lines = entries.map(({ key, partitions, count, hash }) => {
      const where = [...partitions].sort((a, b) => a - b).join("+");
      return `k:${key}\t${where}\t${count}\t${hash.copy().digest("hex")}\n`;
    });
    if (this.nullValues.length > 0) {
      const values = sha256(...this.nullValues.sort(Buffer.compare)).digest("hex");
      lines.push(`null\t*\t${this.nullValues.length}\t${values}\n`);
    }
    return lines.join("");
  }

  result() {
    return {
      records: this.records,
      bytes: this.bytes,
      keys: this.keys.size,
      null_keys: this.nullValues.length,
      digest: sha256(this.text()).digest("hex"),
      offset_gaps: this.gaps,
    };
  }
}

module.exports = { Digest };
