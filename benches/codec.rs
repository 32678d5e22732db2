//! What the bytes cost: batches and frames, checked, read, built, one at a time, in memory.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use highwater_proto::batch::{ProduceLimits, validate_produced};
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::compress::Codec;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::produce::{ProducePartition, ProduceRequest, ProduceTopic};
use highwater_proto::kafka::{self, Request};
use highwater_proto::record::RecordIter;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (record_bytes, name) in [(1024, "1 KiB records"), (100, "100 B records")] {
        batches(&mut criterion, record_bytes, name);
    }
    frames(&mut criterion);
    criterion.final_summary();
}

fn batches(criterion: &mut Criterion, record_bytes: usize, name: &str) {
    let value = vec![b'v'; record_bytes];
    let batch = build(&value);
    let mut group = criterion.benchmark_group(format!("batch of 32 KiB, {name}"));
    group.throughput(Throughput::Bytes(batch.len() as u64));
    group.bench_function("build", |bencher| bencher.iter(|| build(black_box(&value))));
    let limits = ProduceLimits::default();
    group.bench_function("validate", |bencher| {
        bencher.iter(|| validate_produced(black_box(&batch), &limits));
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            let records = RecordIter::new(black_box(&batch).clone(), 0).expect("it was just built");
            records
                .map(|record| record.expect("it was just built").offset)
                .sum::<i64>()
        });
    });
    group.finish();
}

/// A batch of as many records as 32 KiB hold.
fn build(value: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    while builder.bytes() + value.len() < 32 << 10 {
        builder
            .append(1_700_000_000_000, None, Some(value), &[])
            .expect("the batch has room");
    }
    builder.build().expect("it has records")
}

fn frames(criterion: &mut Criterion) {
    let partitions = (0..12)
        .map(|index| ProducePartition {
            index,
            records: Some(build(&[b'v'; 1024])),
        })
        .collect();
    let topics = vec![ProduceTopic {
        name: Str::from_static("orders"),
        partitions,
    }];
    let request = Request::from(ProduceRequest {
        acks: -1,
        topics,
        ..Default::default()
    });
    let encode = || {
        request
            .encode_frame(9, 1, None)
            .expect("the request can be written")
    };
    let frame = encode().into_bytes().slice(kafka::SIZE_BYTES..);

    let mut group = criterion.benchmark_group("Produce v9, 12 partitions of 32 KiB");
    group.bench_function("encode", |bencher| bencher.iter(encode));
    group.bench_function("decode", |bencher| {
        bencher.iter_batched(
            || frame.clone(),
            |frame| {
                let (header, body) = kafka::open_request(frame).expect("it was just written");
                Request::decode(header.key, header.version, body)
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}
