"""A client of Highwater's native protocol, from `proto/native.proto` and `docs/native.md` alone.

`python client.py HOST:PORT` appends, meets a conflict, repeats itself, reads and subscribes, prints
what it sees, and fails if that is anything but what the documents promise.
"""

import socket
import struct
import sys

import native_pb2 as pb

TOPIC = "orders"


class Client:
    """One connection. A request is sent at once; its answer is waited for by its correlation."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.correlation = 0
        self.welcome, _ = self.call(hello=pb.Hello(version_max=1, client_id="python"))

    def send(self, body=b"", **call):
        self.correlation += 1
        head = pb.Request(correlation=self.correlation, **call).SerializeToString()
        size = struct.pack(">IB", 4 + len(head) + len(body), 1)
        self.socket.sendall(size + len(head).to_bytes(3, "big") + head + body)
        return self.correlation

    def receive(self):
        (size,) = struct.unpack(">I", self._exactly(4))
        frame = self._exactly(size)
        assert frame[0] == 1, "a frame of another version"
        end = 4 + int.from_bytes(frame[1:4], "big")
        response = pb.Response.FromString(frame[4:end])
        answer = getattr(response, response.WhichOneof("answer"))
        return response.correlation, answer, frame[end:]

    def call(self, body=b"", **call):
        sent = self.send(body, **call)
        correlation, answer, body = self.receive()
        assert correlation == sent, "nothing else was asked"
        return answer, body

    def append(self, key, expect, *events):
        new = [pb.NewEvent(key=key, value=value, headers=[pb.Header(name="ce_id", value=event_id)])
               for event_id, value in events]
        checks = [pb.StreamCheck(key=key, expect=expect)]
        return self.call(append=pb.Append(topic=TOPIC, checks=checks, events=new))[0]

    def read(self, key, **what):
        return self.call(read_stream=pb.ReadStream(topic=TOPIC, key=key, **what))[0]

    def _exactly(self, size):
        data = bytearray()
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            assert part, "the broker has closed the connection"
            data += part
        return bytes(data)


def show(what, answer):
    text = " ".join(str(answer).split()) or "-"
    print(f"{what}: {type(answer).__name__} {text}")
    return answer


def record_counts(batches):
    """How many records stand in each of these batches: bytes 57 to 60 of its header."""
    while batches:
        (size,) = struct.unpack(">i", batches[8:12])
        yield struct.unpack(">i", batches[57:61])[0]
        batches = batches[12 + size:]


def main(address):
    client = Client(address)
    show("welcome", client.welcome)
    no_stream = pb.Expect(no_stream=pb.NoStream())
    created = ((b"1", b'{"total":0}'), (b"2", b'{"item":"tea"}'))
    first = show("append", client.append(b"order-7", no_stream, *created))
    assert (list(first.revisions), first.is_duplicate) == ([0, 1], False)
    paid = (b"3", b'{"paid":true}')
    conflict = show("too early", client.append(b"order-7", pb.Expect(revision=5), paid))
    assert (conflict.expected.revision, conflict.actual.revision) == (5, 1)
    again = show("once more", client.append(b"order-7", no_stream, *created))
    assert again.is_duplicate and again.base_offset == first.base_offset
    mismatch = client.append(b"order-7", no_stream, created[0], paid)
    assert show("half of it", mismatch).revision == 1
    third = show("append", client.append(b"order-7", pb.Expect(revision=1), paid))
    assert list(third.revisions) == [2]
    other = client.append(b"order-8", pb.Expect(any=True), (b"4", b"{}"))
    assert show("another", other).revisions == [0]
    events = show("read", client.read(b"order-7"))
    assert [event.value for event in events.events] == [created[0][1], created[1][1], paid[1]]
    before = show("read as of 1", client.read(b"order-7", revision=1))
    assert (len(before.events), before.head.revision) == (2, 2)
    refused, _ = client.call(fetch=pb.Fetch(topic="nowhere"))
    assert show("fetch", refused).code == 3
    subscription = client.send(
        subscribe=pb.Subscribe(topic=TOPIC, partition=0, earliest=True, credit_bytes=1 << 20))
    seen = 0
    while seen < 4:
        name, delivered, batches = client.receive()
        assert name == subscription
        seen += sum(record_counts(batches))
        show(f"subscription, {seen} records", delivered)
    client.send(unsubscribe=pb.Unsubscribe(subscription=subscription))
    name, ended, _ = client.receive()
    assert name == subscription and not ended.HasField("failure")
    print("native client: all as promised")


if __name__ == "__main__":
    main(sys.argv[1])
