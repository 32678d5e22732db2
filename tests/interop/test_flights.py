#!/usr/bin/env python3
"""That the digest sees what it must see, and nothing else. Needs only Python.

tests/interop/test_flights.py
"""

import os
import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

import flights  # noqa: E402
import scenario  # noqa: E402

RECORDS = [
    (3, b"N1", b"a"),
    (3, b"N1", b"b"),
    (5, b"N2", b"c"),
    (0, None, b"d"),
    (1, None, b"e"),
]


def text(records):
    digest = flights.Digest()
    for record in records:
        digest.add(*record)
    return digest.text()


class DigestTest(unittest.TestCase):
    def differs(self, records):
        difference = flights.first_difference(text(RECORDS), text(records))
        self.assertIsNotNone(difference)
        return difference

    def test_order_between_keys_and_place_of_null_keys_do_not_count(self):
        moved = [RECORDS[2], (7, None, b"e"), RECORDS[0], (7, None, b"d"), RECORDS[1]]
        self.assertEqual(text(RECORDS), text(moved))
        self.assertIsNone(flights.first_difference(text(RECORDS), text(moved)))

    def test_two_records_of_a_key_in_the_wrong_order(self):
        self.assertIn("k:N1", self.differs([RECORDS[1], RECORDS[0], *RECORDS[2:]]))

    def test_a_lost_record(self):
        for at, (_, key, _) in enumerate(RECORDS):
            said = self.differs(RECORDS[:at] + RECORDS[at + 1 :])
            self.assertIn("null" if key is None else f"k:{key.decode()}", said)

    def test_a_record_twice(self):
        for record in RECORDS:
            self.differs([*RECORDS, record])

    def test_a_changed_byte(self):
        self.differs([(3, b"N1", b"A"), *RECORDS[1:]])
        self.differs([*RECORDS[:-1], (1, None, b"E")])

    def test_a_key_in_another_partition_or_in_two(self):
        self.differs([*RECORDS[:2], (6, b"N2", b"c"), *RECORDS[3:]])
        self.assertIn("3+4", self.differs([RECORDS[0], (4, b"N1", b"b"), *RECORDS[2:]]))

    def test_the_same_bytes_cut_into_other_values(self):
        self.differs([(3, b"N1", b"ab"), (3, b"N1", b""), *RECORDS[2:]])

    def test_a_null_key_is_not_the_key_of_that_name(self):
        self.differs([*RECORDS[:3], (0, b"null", b"d"), RECORDS[4]])


class PartitionTest(unittest.TestCase):
    def test_murmur2_of_javas_partitioner(self):
        known = {
            b"21": -973932308,
            b"foobar": -790332482,
            b"abc": 479470107,
            b"a-little-bit-long-string": -985981536,
            b"a-little-bit-longer-string": -1486304829,
            b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
            b"": 275646681,
            b"N14228": -1499626080,
        }
        for key, signed in known.items():
            self.assertEqual(flights.murmur2(key), signed % (1 << 32), key)
        self.assertEqual(flights.partition_of(b"N14228", 12), 8)


class OffsetsTest(unittest.TestCase):
    def test_holes_and_repetitions(self):
        for seen, gaps in (([0, 1, 2], 0), ([0, 2, 3], 1), ([0, 1, 1, 2], 1), ([1, 2], 1)):
            offsets = scenario.Offsets(1)
            for offset in seen:
                offsets.see(0, offset)
            self.assertEqual(offsets.gaps, gaps, seen)


class PrepareTest(unittest.TestCase):
    def prepare(self, lines, count=None):
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder, "in.jsonl")
            target = pathlib.Path(folder, "out.tsv")
            source.write_bytes(lines)
            written = flights.prepare(os.fspath(source), "k", count, target)
            return written, list(flights.records(target))

    def test_values_stay_as_they_are(self):
        lines = b'{"k":"a", "v":1}\n{"k":null}\n{"k":7}\n'
        wanted = [(b"a", b'{"k":"a", "v":1}'), (None, b'{"k":null}'), (b"7", b'{"k":7}')]
        self.assertEqual(self.prepare(lines), (3, wanted))
        self.assertEqual(self.prepare(lines, 2), (2, wanted[:2]))

    def test_input_that_no_line_can_hold_is_refused(self):
        for line in (b'{"k":"a\\tb"}', b'{"k":""}', b'{"v":1}', b'{"k":\t"a"}', b"no json"):
            with self.assertRaises(ValueError, msg=line):
                self.prepare(line + b"\n")


if __name__ == "__main__":
    unittest.main()
