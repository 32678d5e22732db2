// Package face is what the clients written in Go share: their flags, their lines of result and of
// events, the records of a run, and the digest that ../../flights.py defines.
package face

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"hash"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// What the scenario `offsets` writes: records a second apart, numbered.
const (
	TimedRecords       = 100
	TimedFromMs  int64 = 1_600_000_000_000
	Note               = "note-10"
	QuietMax           = 30 * time.Second
)

// Args are the flags that every client's script takes.
type Args struct {
	Scenario, Bootstrap, Topic, Codec, Input, Digest string
	Group, Instance, Assignor                        string
	Partitions, Count, Session                       int
}

// Client is one client: a function for each scenario.
type Client struct {
	Name, Version string
	Produce       func(Args) int
	Consume       func(Args) *Digest
	Member        func(Args, *Member, <-chan struct{})
	Offsets       func(Args, *Steps)
	Admin         func(Args, *Steps)
}

// Main runs the scenario that the first word names and prints its result as one line of JSON.
func Main(client Client) {
	var args Args
	flags := flag.NewFlagSet(client.Name, flag.ExitOnError)
	flags.StringVar(&args.Bootstrap, "bootstrap", "", "")
	flags.StringVar(&args.Topic, "topic", "", "")
	flags.StringVar(&args.Codec, "codec", "none", "")
	flags.StringVar(&args.Input, "input", "", "")
	flags.StringVar(&args.Digest, "digest", "", "")
	flags.StringVar(&args.Group, "group", "", "")
	flags.StringVar(&args.Instance, "instance", "", "")
	flags.StringVar(&args.Assignor, "assignor", "range", "")
	flags.IntVar(&args.Partitions, "partitions", 12, "")
	flags.IntVar(&args.Count, "count", 3, "")
	flags.IntVar(&args.Session, "session", 6000, "")
	args.Scenario = os.Args[1]
	Check(flags.Parse(os.Args[2:]))
	started := time.Now()
	result := map[string]any{
		"client": client.Name, "version": client.Version,
		"scenario": args.Scenario, "topic": args.Topic,
	}
	switch args.Scenario {
	case "produce":
		result["records"] = client.Produce(args)
	case "consume":
		digest := client.Consume(args)
		digest.Into(result)
		if args.Digest != "" {
			Check(os.WriteFile(args.Digest, []byte(digest.Text()), 0o644))
		}
	case "member":
		members(args, client.Member)
		return
	case "offsets", "admin":
		steps := &Steps{}
		map[string]func(Args, *Steps){"offsets": client.Offsets, "admin": client.Admin}[args.Scenario](args, steps)
		result["steps"] = steps.done
	default:
		panic("no scenario " + args.Scenario)
	}
	result["seconds"] = float64(time.Since(started).Milliseconds()) / 1000
	line, err := json.Marshal(result)
	Check(err)
	fmt.Println(string(line))
}

// Check ends the client with an error.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Records calls with each record of a run's file; the key is nil where it is null.
func Records(path string, call func(key, value []byte)) {
	file, err := os.Open(path)
	Check(err)
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := bytes.Clone(lines.Bytes())
		if key, value, found := bytes.Cut(line, []byte("\t")); found {
			call(key, value)
		} else {
			call(nil, line)
		}
	}
	Check(lines.Err())
}

// Murmur2Partition is where Java's default partitioner puts a key.
func Murmur2Partition(key []byte, partitions int32) int32 {
	const m = 0x5bd1e995
	h := uint32(0x9747b28c) ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		k := binary.LittleEndian.Uint32(key) * m
		h = h*m ^ (k^k>>24)*m
	}
	for i := len(key) - 1; i >= 0; i-- {
		h ^= uint32(key[i]) << (8 * i)
	}
	if len(key) > 0 {
		h *= m
	}
	h = (h ^ h>>13) * m
	return int32((h^h>>15)&0x7fffffff) % partitions
}

type values struct {
	partitions []int32
	count      int
	hash       hash.Hash
}

// Digest takes the records of each partition in order of offset.
type Digest struct {
	keys       map[string]*values
	nullValues [][]byte
	next       []int64
	records    int
	bytes      int
	gaps       int
}

// NewDigest is empty.
func NewDigest(partitions int) *Digest {
	return &Digest{keys: map[string]*values{}, next: make([]int64, partitions)}
}

// Add takes one record; the key is nil where it is null.
func (d *Digest) Add(partition int32, offset int64, key, value []byte) {
	if offset != d.next[partition] {
		d.gaps++
	}
	d.next[partition] = offset + 1
	d.records++
	d.bytes += len(key) + len(value)
	if key == nil {
		sum := sha256.Sum256(value)
		d.nullValues = append(d.nullValues, sum[:])
		return
	}
	entry := d.keys[string(key)]
	if entry == nil {
		entry = &values{hash: sha256.New()}
		d.keys[string(key)] = entry
	}
	if !slices.Contains(entry.partitions, partition) {
		entry.partitions = append(entry.partitions, partition)
	}
	entry.count++
	entry.hash.Write(binary.BigEndian.AppendUint32(nil, uint32(len(value))))
	entry.hash.Write(value)
}

// Text is the canonical digest.
func (d *Digest) Text() string {
	names := make([]string, 0, len(d.keys))
	for name := range d.keys {
		names = append(names, name)
	}
	slices.Sort(names)
	var text strings.Builder
	for _, name := range names {
		entry := d.keys[name]
		slices.Sort(entry.partitions)
		where := make([]string, len(entry.partitions))
		for i, partition := range entry.partitions {
			where[i] = strconv.Itoa(int(partition))
		}
		fmt.Fprintf(&text, "k:%s\t%s\t%d\t%x\n", name, strings.Join(where, "+"), entry.count, entry.hash.Sum(nil))
	}
	if len(d.nullValues) > 0 {
		slices.SortFunc(d.nullValues, bytes.Compare)
		sum := sha256.Sum256(bytes.Join(d.nullValues, nil))
		fmt.Fprintf(&text, "null\t*\t%d\t%x\n", len(d.nullValues), sum)
	}
	return text.String()
}

// Into puts what a reader's line of JSON says into a result.
func (d *Digest) Into(result map[string]any) {
	result["records"], result["bytes"], result["keys"] = d.records, d.bytes, len(d.keys)
	result["null_keys"], result["offset_gaps"] = len(d.nullValues), d.gaps
	result["digest"] = fmt.Sprintf("%x", sha256.Sum256([]byte(d.Text())))
}

// Steps are the steps of a scenario, by name; the first that fails ends it.
type Steps struct {
	done []string
}

// Step runs one.
func (s *Steps) Step(name string, body func() error) {
	if err := body(); err != nil {
		Check(fmt.Errorf("step %s: %w", name, err))
	}
	s.done = append(s.done, name)
}

// Expect is an assertion that says what it found.
func Expect[T comparable](found, wanted T, what string) error {
	if found != wanted {
		return fmt.Errorf("%s is %v, expected %v", what, found, wanted)
	}
	return nil
}

// Until waits for a condition that another process brings about.
func Until(what string, condition func() bool) error {
	givenUpAt := time.Now().Add(10 * time.Second)
	for !condition() {
		if time.Now().After(givenUpAt) {
			return fmt.Errorf("%s: not within 10 s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

var printing sync.Mutex

// Member tells the driver what one member of a group owns and reads.
type Member struct {
	Instance string
	index    int
	owned    []int32
}

// Owns is the whole of what the member owns.
func (m *Member) Owns(partitions []int32) {
	m.owned = slices.Clone(partitions)
	slices.Sort(m.owned)
	m.say("owns", append([]int32{}, m.owned...))
}

// Gains is what comes to what it owns.
func (m *Member) Gains(partitions []int32) {
	m.Owns(append(slices.Clone(m.owned), partitions...))
}

// Loses is what goes from what it owns.
func (m *Member) Loses(partitions []int32) {
	left := slices.DeleteFunc(slices.Clone(m.owned), func(p int32) bool {
		return slices.Contains(partitions, p)
	})
	m.Owns(left)
}

// Read is a run of offsets.
func (m *Member) Read(partition int32, first, last int64) {
	m.say("read", []int64{int64(partition), first, last})
}

// CommitFailed is told, and no failure by itself.
func (m *Member) CommitFailed(err error) {
	m.say("commit_failed", err.Error())
}

func (m *Member) say(what string, value any) {
	said, err := json.Marshal(value)
	Check(err)
	printing.Lock()
	defer printing.Unlock()
	fmt.Printf("{\"member\": %d, %q: %s}\n", m.index, what, said)
}

// members runs until SIGTERM, each in its goroutine.
func members(args Args, member func(Args, *Member, <-chan struct{})) {
	stop := make(chan struct{})
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		close(stop)
	}()
	var running sync.WaitGroup
	for i := range args.Count {
		told := &Member{index: i}
		if args.Instance != "" {
			told.Instance = fmt.Sprintf("%s%d", args.Instance, i)
		}
		running.Go(func() { member(args, told, stop) })
	}
	running.Wait()
}
