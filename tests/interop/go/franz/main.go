// franz-go: produces (idempotent by default), reads by assignment, is a member of groups (eager and
// cooperative, static too), and administers. What each step is, ../drive.py says.
package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"highwater/interop/face"
)

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

var background = context.Background()

func main() {
	face.Main(face.Client{
		Name: "franz-go", Version: version(), Produce: produce, Consume: consume,
		Member: member, Offsets: offsets, Admin: admin,
	})
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/twmb/franz-go" {
			return strings.TrimPrefix(module.Version, "v")
		}
	}
	return "unknown"
}

func connect(args face.Args, more ...kgo.Opt) *kgo.Client {
	options := []kgo.Opt{kgo.SeedBrokers(args.Bootstrap), kgo.ClientID("interop-franz-go")}
	client, err := kgo.NewClient(append(options, more...)...)
	face.Check(err)
	return client
}

func produce(args face.Args) int {
	client := connect(args, kgo.DefaultProduceTopic(args.Topic),
		kgo.ProducerBatchCompression(codecs[args.Codec]), kgo.ProducerLinger(5*time.Millisecond),
		kgo.MaxBufferedRecords(50_000))
	defer client.Close()
	acknowledged := 0
	face.Records(args.Input, func(key, value []byte) {
		record := &kgo.Record{Key: key, Value: value}
		client.Produce(background, record, func(_ *kgo.Record, err error) {
			face.Check(err)
			acknowledged++
		})
	})
	face.Check(client.Flush(background))
	return acknowledged
}

func consume(args face.Args) *face.Digest {
	from := map[int32]kgo.Offset{}
	for partition := range args.Partitions {
		from[int32(partition)] = kgo.NewOffset().AtStart()
	}
	client := connect(args, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{args.Topic: from}))
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(background, args.Topic)
	face.Check(err)
	left := 0
	ends.Each(func(end kadm.ListedOffset) { left += int(end.Offset) })
	digest := face.NewDigest(args.Partitions)
	for left > 0 {
		fetches := poll(client, face.QuietMax)
		fetches.EachError(func(_ string, _ int32, err error) { face.Check(err) })
		fetches.EachRecord(func(record *kgo.Record) {
			digest.Add(record.Partition, record.Offset, record.Key, record.Value)
			left--
		})
	}
	return digest
}

func poll(client *kgo.Client, within time.Duration) kgo.Fetches {
	limited, cancel := context.WithTimeout(background, within)
	defer cancel()
	return client.PollFetches(limited)
}

func member(args face.Args, told *face.Member, stop <-chan struct{}) {
	balancer := kgo.RangeBalancer()
	if args.Assignor == "cooperative" {
		balancer = kgo.CooperativeStickyBalancer()
	}
	options := append(grouped(args),
		kgo.Balancers(balancer),
		kgo.SessionTimeout(time.Duration(args.Session)*time.Millisecond),
		kgo.HeartbeatInterval(time.Second),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, given map[string][]int32) {
			told.Gains(given[args.Topic])
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, taken map[string][]int32) {
			told.Loses(taken[args.Topic])
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
			told.Loses(lost[args.Topic])
		}))
	if told.Instance != "" {
		options = append(options, kgo.InstanceID(told.Instance))
	}
	client := connect(args, options...)
	defer client.Close()
	for {
		select {
		case <-stop:
			return
		default:
		}
		fetches := poll(client, 100*time.Millisecond)
		fetches.EachPartition(func(from kgo.FetchTopicPartition) {
			if count := len(from.Records); count > 0 {
				told.Read(from.Partition, from.Records[0].Offset, from.Records[count-1].Offset)
			}
		})
		if fetches.NumRecords() > 0 {
			if err := client.CommitUncommittedOffsets(background); err != nil {
				told.CommitFailed(err)
			}
		}
	}
}

// grouped is a consumer in the group, which commits only when told to.
func grouped(args face.Args) []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumerGroup(args.Group), kgo.ConsumeTopics(args.Topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(500 * time.Millisecond),
	}
}

// reader gives records one at a time.
type reader struct {
	client *kgo.Client
}

func (r reader) next() (*kgo.Record, error) {
	limited, cancel := context.WithTimeout(background, face.QuietMax)
	defer cancel()
	fetches := r.client.PollRecords(limited, 1)
	if err := fetches.Err(); err != nil {
		return nil, err
	}
	return fetches.Records()[0], nil
}

func (r reader) expect(offset int64) error {
	record, err := r.next()
	if err != nil {
		return err
	}
	return face.Expect(record.Offset, offset, "the offset")
}

func offsets(args face.Args, steps *face.Steps) {
	produceTimed(args)
	at := func(offset int64) map[string]map[int32]kgo.EpochOffset {
		return map[string]map[int32]kgo.EpochOffset{args.Topic: {0: {Epoch: 0, Offset: offset}}}
	}
	from := reader{connect(args, grouped(args)...)}
	steps.Step("commit", func() error {
		if err := from.expect(0); err != nil {
			return err
		}
		noted := kgo.PreCommitFnContext(background, func(request *kmsg.OffsetCommitRequest) error {
			note := face.Note
			request.Topics[0].Partitions[0].Metadata = &note
			return nil
		})
		var failed error
		from.client.CommitOffsetsSync(noted, at(10), func(
			_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error,
		) {
			failed = err
			if err == nil {
				failed = kerr.ErrorForCode(answer.Topics[0].Partitions[0].ErrorCode)
			}
		})
		return failed
	})
	steps.Step("committed", func() error {
		found, err := kadm.NewClient(from.client).FetchOffsets(background, args.Group)
		if err != nil {
			return err
		}
		one, _ := found.Lookup(args.Topic, 0)
		text := fmt.Sprintf("%d %d %s", one.At, one.LeaderEpoch, one.Metadata)
		return face.Expect(text, "10 0 "+face.Note, "what is committed")
	})
	from.client.Close()
	from = reader{connect(args, grouped(args)...)}
	steps.Step("resume", func() error { return from.expect(10) })
	steps.Step("seek", func() error {
		from.client.SetOffsets(at(50))
		return from.expect(50)
	})
	steps.Step("seek_time", func() error {
		when := face.TimedFromMs + 69_500
		found, err := kadm.NewClient(from.client).ListOffsetsAfterMilli(background, when, args.Topic)
		if err != nil {
			return err
		}
		one, _ := found.Lookup(args.Topic, 0)
		from.client.SetOffsets(at(one.Offset))
		return from.expect(70)
	})
	steps.Step("pause", func() error {
		place := map[string][]int32{args.Topic: {0}}
		from.client.PauseFetchPartitions(place)
		count := poll(from.client, 700*time.Millisecond).NumRecords()
		if err := face.Expect(count, 0, "records of a paused partition"); err != nil {
			return err
		}
		from.client.ResumeFetchPartitions(place)
		return from.expect(71)
	})
	from.client.Close()
}

func produceTimed(args face.Args) {
	client := connect(args, kgo.DefaultProduceTopic(args.Topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	for number := range face.TimedRecords {
		record := &kgo.Record{
			Value:     []byte(strconv.Itoa(number)),
			Timestamp: time.UnixMilli(face.TimedFromMs + int64(number)*1000),
		}
		client.Produce(background, record, func(_ *kgo.Record, err error) { face.Check(err) })
	}
	face.Check(client.Flush(background))
}

func admin(args face.Args, steps *face.Steps) {
	client := kadm.NewClient(connect(args))
	defer client.Close()
	topic := args.Topic
	create := func() error {
		_, err := client.CreateTopic(background, 3, 1, nil, topic)
		return err
	}
	described := func(name string) kadm.TopicDetail {
		found, err := client.ListTopics(background, name)
		face.Check(err)
		return found[name]
	}
	steps.Step("create", create)
	steps.Step("exists", func() error { return expectError(kerr.TopicAlreadyExists, create()) })
	steps.Step("describe", func() error {
		return face.Until("three partitions", func() bool { return len(described(topic).Partitions) == 3 })
	})
	steps.Step("unknown", func() error {
		return expectError(kerr.UnknownTopicOrPartition, described(topic+"-absent").Err)
	})
	retention := func() *kadm.Config {
		found, err := client.DescribeTopicConfigs(background, topic)
		face.Check(err)
		for _, config := range found[0].Configs {
			if config.Key == "retention.ms" {
				return &config
			}
		}
		return &kadm.Config{}
	}
	steps.Step("configs", func() error {
		found := retention()
		text := fmt.Sprintf("%s %s", found.MaybeValue(), found.Source)
		return face.Expect(text, "604800000 DEFAULT_CONFIG", "retention.ms")
	})
	steps.Step("alter", func() error {
		value := "3600000"
		change := kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}
		found, err := client.AlterTopicConfigs(background, []kadm.AlterConfig{change}, topic)
		if err := errors.Join(err, found[0].Err); err != nil {
			return err
		}
		return face.Until("the new value", func() bool { return retention().MaybeValue() == value })
	})
	steps.Step("grow", func() error {
		found, err := client.UpdatePartitions(background, 5, topic)
		if err := errors.Join(err, found[topic].Err); err != nil {
			return err
		}
		return face.Until("five partitions", func() bool { return len(described(topic).Partitions) == 5 })
	})
	steps.Step("delete_records", func() error {
		produceTimed(args)
		before := kadm.Offsets{}
		before.AddOffset(topic, 0, 5, -1)
		if _, err := client.DeleteRecords(background, before); err != nil {
			return err
		}
		found, err := client.ListStartOffsets(background, topic)
		if err != nil {
			return err
		}
		one, _ := found.Lookup(topic, 0)
		return face.Expect(one.Offset, 5, "the first offset")
	})
	groups(args, steps, client)
	steps.Step("delete", func() error {
		if _, err := client.DeleteTopic(background, topic); err != nil {
			return err
		}
		return face.Until("the topic is gone", func() bool { return described(topic).Err != nil })
	})
}

func groups(args face.Args, steps *face.Steps, client *kadm.Client) {
	from := reader{connect(args, grouped(args)...)}
	face.Check(from.expect(5))
	face.Check(from.client.CommitUncommittedOffsets(background))
	listed := func() bool {
		found, err := client.ListGroups(background)
		face.Check(err)
		_, is := found[args.Group]
		return is
	}
	described := func() kadm.DescribedGroup {
		found, err := client.DescribeGroups(background, args.Group)
		face.Check(err)
		return found[args.Group]
	}
	remove := func() error {
		_, err := client.DeleteGroup(background, args.Group)
		return err
	}
	steps.Step("list_groups", func() error { return face.Expect(listed(), true, "listed") })
	steps.Step("describe_group", func() error {
		found := described()
		if len(found.Members) != 1 {
			return fmt.Errorf("%d members", len(found.Members))
		}
		owned := found.AssignedPartitions()[args.Topic]
		text := fmt.Sprintf("%s %s %d", found.State, found.Members[0].ClientID, len(owned))
		return face.Expect(text, "Stable interop-franz-go 5", "the group")
	})
	steps.Step("delete_busy_group", func() error { return expectError(kerr.NonEmptyGroup, remove()) })
	from.client.Close()
	steps.Step("delete_group", func() error {
		if err := face.Expect(described().State, "Empty", "the state"); err != nil {
			return err
		}
		if err := remove(); err != nil {
			return err
		}
		return face.Expect(listed(), false, "listed")
	})
}

func expectError(wanted, found error) error {
	if !errors.Is(found, wanted) {
		return fmt.Errorf("%v was expected, and there was %v", wanted, found)
	}
	return nil
}
