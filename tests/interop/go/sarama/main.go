// sarama: produces (idempotent), reads by assignment, is a member of groups (eager, static too), and
// administers. It has no cooperative groups. What each step is, ../drive.py says.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"highwater/interop/face"
)

var codecs = map[string]sarama.CompressionCodec{
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

func main() {
	face.Main(face.Client{
		Name: "sarama", Version: version(), Produce: produce, Consume: consume,
		Member: member, Offsets: offsets, Admin: admin,
	})
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/IBM/sarama" {
			return strings.TrimPrefix(module.Version, "v")
		}
	}
	return "unknown"
}

// javaPartitioner puts keyed records where Java's does, and null keys at random.
type javaPartitioner struct{}

func (javaPartitioner) Partition(message *sarama.ProducerMessage, count int32) (int32, error) {
	if message.Key == nil {
		return rand.Int32N(count), nil
	}
	key, err := message.Key.Encode()
	return face.Murmur2Partition(key, count), err
}

func (javaPartitioner) RequiresConsistency() bool { return true }

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V3_6_0_0
	config.ClientID = "interop-sarama"
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
	config.Producer.Partitioner = func(string) sarama.Partitioner { return javaPartitioner{} }
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Heartbeat.Interval = time.Second
	config.Consumer.MaxWaitTime = 500 * time.Millisecond
	return config
}

func produce(args face.Args) int {
	config := config()
	config.Producer.Compression = codecs[args.Codec]
	config.Producer.Flush.Frequency = 5 * time.Millisecond
	producer, err := sarama.NewAsyncProducer([]string{args.Bootstrap}, config)
	face.Check(err)
	done := make(chan int)
	go func() {
		acknowledged := 0
		for range producer.Successes() {
			acknowledged++
		}
		done <- acknowledged
	}()
	go func() {
		for failed := range producer.Errors() {
			face.Check(failed)
		}
	}()
	face.Records(args.Input, func(key, value []byte) {
		message := &sarama.ProducerMessage{Topic: args.Topic, Value: sarama.ByteEncoder(value)}
		if key != nil {
			message.Key = sarama.ByteEncoder(key)
		}
		producer.Input() <- message
	})
	producer.AsyncClose()
	return <-done
}

func connect(args face.Args) sarama.Client {
	client, err := sarama.NewClient([]string{args.Bootstrap}, config())
	face.Check(err)
	return client
}

func consume(args face.Args) *face.Digest {
	client := connect(args)
	defer client.Close()
	consumer, err := sarama.NewConsumerFromClient(client)
	face.Check(err)
	digest := face.NewDigest(args.Partitions)
	for partition := range int32(args.Partitions) {
		end, err := client.GetOffset(args.Topic, partition, sarama.OffsetNewest)
		face.Check(err)
		if end == 0 {
			continue
		}
		reading, err := consumer.ConsumePartition(args.Topic, partition, sarama.OffsetOldest)
		face.Check(err)
		for at := int64(0); at < end; {
			message, err := next(reading)
			face.Check(err)
			digest.Add(partition, message.Offset, message.Key, message.Value)
			at = message.Offset + 1
		}
		face.Check(reading.Close())
	}
	return digest
}

func next(reading sarama.PartitionConsumer) (*sarama.ConsumerMessage, error) {
	select {
	case message := <-reading.Messages():
		return message, nil
	case <-time.After(face.QuietMax):
		return nil, fmt.Errorf("no record within %v", face.QuietMax)
	}
}

// handler tells the driver what a member owns and reads; it commits each run of records.
type handler struct {
	args face.Args
	told *face.Member
}

func (h handler) Setup(session sarama.ConsumerGroupSession) error {
	h.told.Owns(session.Claims()[h.args.Topic])
	return nil
}

func (h handler) Cleanup(sarama.ConsumerGroupSession) error {
	h.told.Owns(nil)
	return nil
}

func (h handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for first := range claim.Messages() {
		last := first
		for more := true; more; {
			select {
			case message, open := <-claim.Messages():
				if more = open; open {
					last = message
				}
			default:
				more = false
			}
		}
		h.told.Read(claim.Partition(), first.Offset, last.Offset)
		session.MarkMessage(last, "")
		session.Commit()
	}
	return nil
}

func member(args face.Args, told *face.Member, stop <-chan struct{}) {
	config := config()
	config.Consumer.Group.Session.Timeout = time.Duration(args.Session) * time.Millisecond
	config.Consumer.Group.InstanceId = told.Instance
	group, err := sarama.NewConsumerGroup([]string{args.Bootstrap}, args.Group, config)
	face.Check(err)
	running, cancel := context.WithCancel(context.Background())
	go func() {
		<-stop
		cancel()
	}()
	for running.Err() == nil {
		face.Check(group.Consume(running, []string{args.Topic}, handler{args, told}))
	}
	face.Check(group.Close())
}

// once runs a group until `body` has had its first claim, and leaves.
func once(args face.Args, body func(sarama.ConsumerGroupSession, sarama.ConsumerGroupClaim) error) error {
	group, err := sarama.NewConsumerGroup([]string{args.Bootstrap}, args.Group, config())
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.Background())
	defer cancel()
	first := &claimed{body: body, done: cancel}
	for running.Err() == nil {
		if err := group.Consume(running, []string{args.Topic}, first); err != nil {
			return err
		}
	}
	return errors.Join(first.failed, group.Close())
}

// errEnded is the end of a session before its first record: sarama joins anew when it sees that the
// topic has grown.
var errEnded = errors.New("the session ended")

type claimed struct {
	body   func(sarama.ConsumerGroupSession, sarama.ConsumerGroupClaim) error
	done   func()
	failed error
}

func (*claimed) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*claimed) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c *claimed) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	if claim.Partition() != 0 {
		// A session ends with the first of its claims.
		<-session.Context().Done()
	} else {
		if c.failed = c.body(session, claim); !errors.Is(c.failed, errEnded) {
			c.done()
		}
	}
	return nil
}

func expectFirst(claim sarama.ConsumerGroupClaim, offset int64) error {
	select {
	case message, open := <-claim.Messages():
		if !open {
			return errEnded
		}
		return face.Expect(message.Offset, offset, "the offset")
	case <-time.After(face.QuietMax):
		return fmt.Errorf("no record within %v", face.QuietMax)
	}
}

func offsets(args face.Args, steps *face.Steps) {
	produceTimed(args)
	client := connect(args)
	administration, err := sarama.NewClusterAdminFromClient(client)
	face.Check(err)
	steps.Step("commit", func() error {
		return once(args, func(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
			if err := expectFirst(claim, 0); err != nil {
				return err
			}
			session.MarkOffset(args.Topic, 0, 10, face.Note)
			session.Commit()
			return nil
		})
	})
	steps.Step("committed", func() error {
		found, err := administration.ListConsumerGroupOffsets(args.Group, map[string][]int32{args.Topic: {0}})
		if err != nil {
			return err
		}
		block := found.GetBlock(args.Topic, 0)
		return face.Expect(fmt.Sprintf("%d %s", block.Offset, block.Metadata), "10 "+face.Note, "committed")
	})
	steps.Step("resume", func() error {
		return once(args, func(_ sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
			return expectFirst(claim, 10)
		})
	})
	consumer, err := sarama.NewConsumerFromClient(client)
	face.Check(err)
	steps.Step("seek", func() error {
		reading, err := consumer.ConsumePartition(args.Topic, 0, 50)
		if err != nil {
			return err
		}
		defer reading.Close()
		message, err := next(reading)
		if err != nil {
			return err
		}
		return face.Expect(message.Offset, 50, "the offset")
	})
	var reading sarama.PartitionConsumer
	steps.Step("seek_time", func() error {
		offset, err := client.GetOffset(args.Topic, 0, face.TimedFromMs+69_500)
		if err != nil {
			return err
		}
		if reading, err = consumer.ConsumePartition(args.Topic, 0, offset); err != nil {
			return err
		}
		message, err := next(reading)
		if err != nil {
			return err
		}
		return face.Expect(string(message.Value), "70", "the value")
	})
	steps.Step("pause", func() error {
		// What was fetched before the pause still comes.
		for number := 71; number < face.TimedRecords; number++ {
			if _, err := next(reading); err != nil {
				return err
			}
		}
		reading.Pause()
		// A fetch that is under way still brings what it finds.
		time.Sleep(2 * config().Consumer.MaxWaitTime)
		produceTimed(args)
		select {
		case message := <-reading.Messages():
			return fmt.Errorf("a paused partition gave offset %d", message.Offset)
		case <-time.After(700 * time.Millisecond):
		}
		reading.Resume()
		message, err := next(reading)
		if err != nil {
			return err
		}
		return face.Expect(message.Offset, face.TimedRecords, "the offset")
	})
}

func produceTimed(args face.Args) {
	config := config()
	config.Producer.Partitioner = sarama.NewManualPartitioner
	producer, err := sarama.NewSyncProducer([]string{args.Bootstrap}, config)
	face.Check(err)
	var messages []*sarama.ProducerMessage
	for number := range face.TimedRecords {
		messages = append(messages, &sarama.ProducerMessage{
			Topic: args.Topic, Value: sarama.StringEncoder(strconv.Itoa(number)),
			Timestamp: time.UnixMilli(face.TimedFromMs + int64(number)*1000),
		})
	}
	face.Check(producer.SendMessages(messages))
	face.Check(producer.Close())
}

func admin(args face.Args, steps *face.Steps) {
	client := connect(args)
	administration, err := sarama.NewClusterAdminFromClient(client)
	face.Check(err)
	topic := args.Topic
	create := func() error {
		return administration.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1}, false)
	}
	described := func(name string) *sarama.TopicMetadata {
		found, err := administration.DescribeTopics([]string{name})
		face.Check(err)
		return found[0]
	}
	steps.Step("create", create)
	steps.Step("exists", func() error { return expectError(sarama.ErrTopicAlreadyExists, create()) })
	steps.Step("describe", func() error {
		return face.Until("three partitions", func() bool { return len(described(topic).Partitions) == 3 })
	})
	steps.Step("unknown", func() error {
		return expectError(sarama.ErrUnknownTopicOrPartition, described(topic+"-absent").Err)
	})
	retention := func() sarama.ConfigEntry {
		asked := sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}}
		found, err := administration.DescribeConfig(asked)
		face.Check(err)
		return found[0]
	}
	steps.Step("configs", func() error {
		found := retention()
		return face.Expect(fmt.Sprintf("%s %v", found.Value, found.Default), "604800000 true", "retention.ms")
	})
	steps.Step("alter", func() error {
		value := "3600000"
		change := map[string]sarama.IncrementalAlterConfigsEntry{
			"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value},
		}
		if err := administration.IncrementalAlterConfig(sarama.TopicResource, topic, change, false); err != nil {
			return err
		}
		return face.Until("the new value", func() bool { return retention().Value == value })
	})
	steps.Step("grow", func() error {
		if err := administration.CreatePartitions(topic, 5, nil, false); err != nil {
			return err
		}
		return face.Until("five partitions", func() bool { return len(described(topic).Partitions) == 5 })
	})
	steps.Step("delete_records", func() error {
		produceTimed(args)
		if err := administration.DeleteRecords(topic, map[int32]int64{0: 5}); err != nil {
			return err
		}
		oldest, err := client.GetOffset(topic, 0, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		return face.Expect(oldest, 5, "the first offset")
	})
	groups(args, steps, administration)
	steps.Step("delete", func() error {
		if err := administration.DeleteTopic(topic); err != nil {
			return err
		}
		return face.Until("the topic is gone", func() bool {
			return described(topic).Err == sarama.ErrUnknownTopicOrPartition
		})
	})
}

func groups(args face.Args, steps *face.Steps, administration sarama.ClusterAdmin) {
	listed := func() bool {
		found, err := administration.ListConsumerGroups()
		face.Check(err)
		_, is := found[args.Group]
		return is
	}
	described := func() *sarama.GroupDescription {
		found, err := administration.DescribeConsumerGroups([]string{args.Group})
		face.Check(err)
		return found[0]
	}
	remove := func() error { return administration.DeleteConsumerGroup(args.Group) }
	face.Check(once(args, func(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
		if err := expectFirst(claim, 5); err != nil {
			return err
		}
		session.MarkOffset(args.Topic, 0, 6, "")
		session.Commit()
		steps.Step("list_groups", func() error { return face.Expect(listed(), true, "listed") })
		steps.Step("describe_group", func() error {
			found := described()
			if len(found.Members) != 1 {
				return fmt.Errorf("%d members", len(found.Members))
			}
			for _, member := range found.Members {
				assigned, err := member.GetMemberAssignment()
				if err != nil {
					return err
				}
				text := fmt.Sprintf("%s %s %d", found.State, member.ClientId, len(assigned.Topics[args.Topic]))
				return face.Expect(text, "Stable interop-sarama 5", "the group")
			}
			return nil
		})
		steps.Step("delete_busy_group", func() error { return expectError(sarama.ErrNonEmptyGroup, remove()) })
		return nil
	}))
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
