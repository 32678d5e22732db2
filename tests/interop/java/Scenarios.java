import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupListing;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ConsumerGroupState;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Groups and administration with Apache Kafka's Java client; what each step is, drive.py says. */
final class Scenarios {
    private static final int TIMED_RECORDS = 100;
    private static final long TIMED_FROM_MS = 1_600_000_000_000L;
    private static final String NOTE = "note-10";
    private static final Duration QUIET_MAX = Duration.ofSeconds(30);

    private final Map<String, String> args;
    private final List<String> done = new ArrayList<>();

    Scenarios(Map<String, String> args) {
        this.args = args;
    }

    /** Members until SIGTERM, each in its thread; one line of JSON an event. */
    static void members(Map<String, String> args) throws Exception {
        CountDownLatch stop = new CountDownLatch(1);
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < Integer.parseInt(args.getOrDefault("count", "3")); i++) {
            int index = i;
            Thread thread = new Thread(() -> member(args, index, stop));
            thread.setUncaughtExceptionHandler((t, error) -> {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
            });
            threads.add(thread);
            thread.start();
        }
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stop.countDown();
            threads.forEach(Scenarios::join);
            System.out.flush();
            Runtime.getRuntime().halt(0);
        }));
        threads.forEach(Scenarios::join);
    }

    private static void join(Thread thread) {
        try {
            thread.join(20_000);
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    private static void member(Map<String, String> args, int index, CountDownLatch stop) {
        Properties config = grouped(args);
        config.put("session.timeout.ms", args.getOrDefault("session", "6000"));
        config.put("heartbeat.interval.ms", "1000");
        boolean cooperative = "cooperative".equals(args.get("assignor"));
        config.put("partition.assignment.strategy",
            (cooperative ? CooperativeStickyAssignor.class : RangeAssignor.class).getName());
        if (!args.getOrDefault("instance", "").isEmpty()) {
            config.put("group.instance.id", args.get("instance") + index);
        }
        try (var consumer = consumer(config)) {
            consumer.subscribe(List.of(args.get("topic")), new Told(index));
            while (stop.getCount() > 0) {
                var records = consumer.poll(Duration.ofMillis(100));
                for (TopicPartition place : records.partitions()) {
                    var read = records.records(place);
                    say(index, "\"read\": [" + place.partition() + ", " + read.get(0).offset()
                        + ", " + read.get(read.size() - 1).offset() + "]");
                }
                if (!records.isEmpty()) {
                    try {
                        consumer.commitSync();
                    } catch (KafkaException error) {
                        say(index, "\"commit_failed\": \"" + error.getClass().getName() + "\"");
                    }
                }
            }
        }
    }

    private static void say(int index, String event) {
        System.out.println("{\"member\": " + index + ", " + event + "}");
    }

    /** Tells the driver what a member owns. */
    private static final class Told implements ConsumerRebalanceListener {
        private final int index;
        private final Set<Integer> owned = new TreeSet<>();

        Told(int index) {
            this.index = index;
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> given) {
            given.forEach(place -> owned.add(place.partition()));
            say(index, "\"owns\": " + owned);
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> taken) {
            taken.forEach(place -> owned.remove(place.partition()));
            say(index, "\"owns\": " + owned);
        }
    }

    private static Properties grouped(Map<String, String> args) {
        Properties config = new Properties();
        config.put("bootstrap.servers", args.get("bootstrap"));
        config.put("client.id", "interop-java");
        config.put("group.id", args.get("group"));
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        return config;
    }

    private static KafkaConsumer<String, String> consumer(Properties config) {
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    private KafkaConsumer<String, String> subscribed() {
        Properties config = grouped(args);
        config.put("max.poll.records", "1");
        KafkaConsumer<String, String> consumer = consumer(config);
        consumer.subscribe(List.of(args.get("topic")));
        return consumer;
    }

    /** Committed offsets with their metadata, seeking by offset and by time, pausing. */
    String offsets() {
        produceTimed();
        TopicPartition place = new TopicPartition(args.get("topic"), 0);
        try (var consumer = subscribed()) {
            step("commit", () -> {
                expect(next(consumer).offset(), 0L);
                var noted = new OffsetAndMetadata(10, Optional.of(0), NOTE);
                consumer.commitSync(Map.of(place, noted));
                return null;
            });
            step("committed", () -> {
                OffsetAndMetadata found = consumer.committed(Set.of(place)).get(place);
                expect(found.offset() + found.metadata(), 10 + NOTE);
                expect(found.leaderEpoch(), Optional.of(0));
                return null;
            });
        }
        try (var consumer = subscribed()) {
            step("resume", () -> expect(next(consumer).offset(), 10L));
            step("seek", () -> {
                consumer.seek(place, 50);
                return expect(next(consumer).offset(), 50L);
            });
            step("seek_time", () -> {
                var found = consumer.offsetsForTimes(Map.of(place, TIMED_FROM_MS + 69_500)).get(place);
                expect(found.offset(), 70L);
                consumer.seek(place, found.offset());
                return expect(next(consumer).value(), "70");
            });
            step("pause", () -> {
                consumer.pause(List.of(place));
                expect(consumer.poll(Duration.ofMillis(700)).count(), 0);
                consumer.resume(List.of(place));
                return expect(next(consumer).offset(), 71L);
            });
        }
        return steps();
    }

    /** Topics, configs, groups; the errors of a second creation, an absent topic, a busy group. */
    String admin() throws Exception {
        String topic = args.get("topic");
        List<NewTopic> fresh = List.of(new NewTopic(topic, 3, (short) 1));
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", args.get("bootstrap")))) {
            step("create", () -> admin.createTopics(fresh).all().get(20, TimeUnit.SECONDS));
            step("exists", () -> expectError("TopicExists", () -> admin.createTopics(fresh).all().get()));
            step("describe", () -> until(() -> partitions(admin, topic) == 3));
            step("unknown", () -> expectError("UnknownTopicOrPartition",
                () -> partitions(admin, topic + "-absent")));
            step("configs", () -> {
                expect(retention(admin, topic).isDefault(), true);
                return expect(retention(admin, topic).value(), "604800000");
            });
            step("alter", () -> {
                var set = new AlterConfigOp(
                    new ConfigEntry("retention.ms", "3600000"), AlterConfigOp.OpType.SET);
                admin.incrementalAlterConfigs(Map.of(resource(topic), List.of(set))).all().get();
                return until(() -> "3600000".equals(retention(admin, topic).value()));
            });
            step("grow", () -> {
                admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
                return until(() -> partitions(admin, topic) == 5);
            });
            step("delete_records", () -> {
                produceTimed();
                TopicPartition place = new TopicPartition(topic, 0);
                admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(5))).all().get();
                var found = admin.listOffsets(Map.of(place, OffsetSpec.earliest())).all().get();
                return expect(found.get(place).offset(), 5L);
            });
            groups(admin, args.get("group"));
            step("delete", () -> {
                admin.deleteTopics(List.of(topic)).all().get();
                return until(() -> !admin.listTopics().names().get().contains(topic));
            });
        }
        return steps();
    }

    private void groups(Admin admin, String group) {
        try (var consumer = subscribed()) {
            expect(next(consumer).offset(), 5L);
            consumer.commitSync();
            step("list_groups", () -> expect(listed(admin, group), true));
            step("describe_group", () -> {
                var found = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                expect(found.state(), ConsumerGroupState.STABLE);
                expect(found.members().size(), 1);
                var member = found.members().iterator().next();
                expect(member.clientId(), "interop-java");
                return expect(member.assignment().topicPartitions().size(), 5);
            });
            step("delete_busy_group", () -> expectError("GroupNotEmpty",
                () -> admin.deleteConsumerGroups(List.of(group)).all().get()));
        }
        step("delete_group", () -> {
            var found = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            expect(found.state(), ConsumerGroupState.EMPTY);
            admin.deleteConsumerGroups(List.of(group)).all().get();
            return expect(listed(admin, group), false);
        });
    }

    private static boolean listed(Admin admin, String group) throws Exception {
        Collection<ConsumerGroupListing> all = admin.listConsumerGroups().all().get();
        return all.stream().anyMatch(one -> one.groupId().equals(group));
    }

    private static int partitions(Admin admin, String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
    }

    private static ConfigResource resource(String topic) {
        return new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    private static ConfigEntry retention(Admin admin, String topic) throws Exception {
        Config found = admin.describeConfigs(List.of(resource(topic))).all().get().get(resource(topic));
        return found.get("retention.ms");
    }

    private void produceTimed() {
        Properties config = new Properties();
        config.put("bootstrap.servers", args.get("bootstrap"));
        var text = new StringSerializer();
        try (var producer = new KafkaProducer<String, String>(config, text, text)) {
            for (int i = 0; i < TIMED_RECORDS; i++) {
                long at = TIMED_FROM_MS + i * 1000L;
                producer.send(new ProducerRecord<>(args.get("topic"), 0, at, null, "" + i));
            }
            producer.flush();
        }
    }

    private static ConsumerRecord<String, String> next(KafkaConsumer<String, String> consumer) {
        long givenUpAt = System.nanoTime() + QUIET_MAX.toNanos();
        while (System.nanoTime() < givenUpAt) {
            for (var record : consumer.poll(Duration.ofMillis(500))) {
                return record;
            }
        }
        throw new IllegalStateException("no record within " + QUIET_MAX);
    }

    private void step(String name, Callable<?> body) {
        try {
            body.call();
        } catch (Exception error) {
            throw new IllegalStateException("step " + name + ": " + error, error);
        }
        done.add(name);
    }

    private String steps() {
        return "\"steps\": [\"" + String.join("\", \"", done) + "\"]";
    }

    private static Object expect(Object found, Object wanted) {
        if (!wanted.equals(found)) {
            throw new IllegalStateException("found " + found + ", expected " + wanted);
        }
        return found;
    }

    private static Object expectError(String name, Callable<?> body) throws Exception {
        try {
            body.call();
        } catch (ExecutionException error) {
            if (error.getCause().getClass().getSimpleName().startsWith(name)) {
                return null;
            }
            throw error;
        }
        throw new IllegalStateException(name + " was expected, and there was no error");
    }

    private static Object until(Callable<Boolean> condition) throws Exception {
        long givenUpAt = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (true) {
            try {
                if (condition.call()) {
                    return null;
                }
            } catch (ExecutionException error) {
                // Kafka answers before its topic is there.
                if (System.nanoTime() > givenUpAt) {
                    throw error;
                }
            }
            if (System.nanoTime() > givenUpAt) {
                throw new IllegalStateException("not within 10 s");
            }
            Thread.sleep(20);
        }
    }
}
