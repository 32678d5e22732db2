import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * Apache Kafka's own Java client: produces with its defaults (acks=all, idempotent), and reads by
 * assignment, without a group. Groups and administration: {@link Scenarios}.
 *
 * <p>Null keys: sent with key null; the default partitioner spreads them. Keyed records go where
 * it puts them, which is the rule that the other clients are set to.
 */
public final class Interop {
    private static final Duration QUIET_MAX = Duration.ofSeconds(30);

    public static void main(String[] words) throws Exception {
        String scenario = words[0];
        Map<String, String> args = new HashMap<>(Map.of("partitions", "12", "codec", "none"));
        for (int i = 1; i + 1 < words.length; i += 2) {
            args.put(words[i].substring(2), words[i + 1]);
        }
        if (scenario.equals("member")) {
            Scenarios.members(args);
            return;
        }
        long started = System.nanoTime();
        String result = switch (scenario) {
            case "produce" -> produce(args);
            case "consume" -> consume(args);
            case "offsets" -> new Scenarios(args).offsets();
            case "admin" -> new Scenarios(args).admin();
            default -> throw new IllegalArgumentException("no scenario " + scenario);
        };
        double seconds = Math.round((System.nanoTime() - started) / 1e7) / 100.0;
        System.out.printf(
            "{\"client\": \"java\", \"version\": \"%s\", \"scenario\": \"%s\", \"topic\": \"%s\", "
                + "%s, \"seconds\": %s}%n",
            AppInfoParser.getVersion(), scenario, args.get("topic"), result, seconds);
    }

    private static String produce(Map<String, String> args) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", args.get("bootstrap"));
        config.put("client.id", "interop-java");
        config.put("compression.type", args.get("codec"));
        AtomicLong acknowledged = new AtomicLong();
        AtomicReference<Exception> failure = new AtomicReference<>();
        var bytes = new ByteArraySerializer();
        try (var producer = new KafkaProducer<byte[], byte[]>(config, bytes, bytes);
                BufferedReader lines = Files.newBufferedReader(Path.of(args.get("input")))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                producer.send(record(args.get("topic"), line), (metadata, exception) -> {
                    if (exception == null) {
                        acknowledged.incrementAndGet();
                    } else {
                        failure.compareAndSet(null, exception);
                    }
                });
            }
            producer.flush();
        }
        if (failure.get() != null) {
            throw failure.get();
        }
        return "\"records\": " + acknowledged.get();
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, String line) {
        int tab = line.indexOf('\t');
        byte[] key = tab < 0 ? null : line.substring(0, tab).getBytes(StandardCharsets.UTF_8);
        byte[] value = line.substring(tab + 1).getBytes(StandardCharsets.UTF_8);
        return new ProducerRecord<>(topic, key, value);
    }

    private static String consume(Map<String, String> args) throws Exception {
        List<TopicPartition> partitions = new ArrayList<>();
        for (int p = 0; p < Integer.parseInt(args.get("partitions")); p++) {
            partitions.add(new TopicPartition(args.get("topic"), p));
        }
        Properties config = new Properties();
        config.put("bootstrap.servers", args.get("bootstrap"));
        config.put("client.id", "interop-java");
        config.put("auto.offset.reset", "none");
        config.put("enable.auto.commit", "false");
        Digest digest = new Digest(partitions.size());
        var bytes = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<byte[], byte[]>(config, bytes, bytes)) {
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (ends.entrySet().stream().anyMatch(e -> consumer.position(e.getKey()) < e.getValue())) {
                var records = consumer.poll(QUIET_MAX);
                if (records.isEmpty()) {
                    throw new IllegalStateException("nothing came for " + QUIET_MAX);
                }
                for (var record : records) {
                    digest.add(record);
                }
            }
        }
        if (args.containsKey("digest")) {
            Files.writeString(Path.of(args.get("digest")), digest.text());
        }
        return digest.json();
    }

    /** The digest that flights.py defines. */
    private static final class Digest {
        private final Map<byte[], Values> keys = new TreeMap<>(Arrays::compareUnsigned);
        private final List<byte[]> nullValues = new ArrayList<>();
        private final long[] next;
        private long records;
        private long bytes;
        private long gaps;

        private static final class Values {
            final TreeSet<Integer> partitions = new TreeSet<>();
            final MessageDigest hash = sha256();
            long count;
        }

        Digest(int partitions) {
            next = new long[partitions];
        }

        void add(ConsumerRecord<byte[], byte[]> record) {
            if (record.offset() != next[record.partition()]) {
                gaps++;
            }
            next[record.partition()] = record.offset() + 1;
            records++;
            bytes += record.value().length + (record.key() == null ? 0 : record.key().length);
            if (record.key() == null) {
                nullValues.add(sha256().digest(record.value()));
                return;
            }
            Values values = keys.computeIfAbsent(record.key(), key -> new Values());
            values.partitions.add(record.partition());
            values.count++;
            values.hash.update(ByteBuffer.allocate(4).putInt(record.value().length).array());
            values.hash.update(record.value());
        }

        String text() throws Exception {
            StringBuilder text = new StringBuilder();
            for (var entry : keys.entrySet()) {
                Values values = entry.getValue();
                List<String> where = values.partitions.stream().map(String::valueOf).toList();
                MessageDigest hash = (MessageDigest) values.hash.clone();
                text.append("k:").append(new String(entry.getKey(), StandardCharsets.UTF_8));
                text.append('\t').append(String.join("+", where));
                text.append('\t').append(values.count);
                text.append('\t').append(HexFormat.of().formatHex(hash.digest())).append('\n');
            }
            if (!nullValues.isEmpty()) {
                text.append("null\t*\t").append(nullValues.size()).append('\t');
                text.append(hashOfNullValues()).append('\n');
            }
            return text.toString();
        }

        private String hashOfNullValues() throws Exception {
            ByteArrayOutputStream all = new ByteArrayOutputStream();
            nullValues.sort(Arrays::compareUnsigned);
            for (byte[] hash : nullValues) {
                all.write(hash);
            }
            return HexFormat.of().formatHex(sha256().digest(all.toByteArray()));
        }

        String json() throws Exception {
            byte[] hash = sha256().digest(text().getBytes(StandardCharsets.UTF_8));
            return String.format(
                "\"records\": %d, \"bytes\": %d, \"keys\": %d, \"null_keys\": %d, \"digest\": \"%s\", "
                    + "\"offset_gaps\": %d",
                records, bytes, keys.size(), nullValues.size(), HexFormat.of().formatHex(hash), gaps);
        }

        private static MessageDigest sha256() {
            try {
                return MessageDigest.getInstance("SHA-256");
            } catch (java.security.NoSuchAlgorithmException impossible) {
                throw new AssertionError("every Java has SHA-256", impossible);
            }
        }
    }
}
