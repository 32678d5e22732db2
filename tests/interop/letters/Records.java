import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Apache Kafka's own Java client: prints each record of some topics as a line of JSON, bytes as
 * hexadecimal numbers, each partition from its beginning to its end.
 *
 * <pre>Records HOST:PORT TOPIC...</pre>
 */
public final class Records {
    private static final Duration QUIET_MAX = Duration.ofSeconds(30);

    public static void main(String[] words) {
        Properties config = new Properties();
        config.put("bootstrap.servers", words[0]);
        config.put("client.id", "interop-letters");
        config.put("auto.offset.reset", "none");
        config.put("enable.auto.commit", "false");
        var bytes = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<byte[], byte[]>(config, bytes, bytes)) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (String topic : List.of(words).subList(1, words.length)) {
                for (var info : consumer.partitionsFor(topic)) {
                    partitions.add(new TopicPartition(topic, info.partition()));
                }
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(it -> consumer.position(it) < ends.get(it))) {
                var records = consumer.poll(QUIET_MAX);
                if (records.isEmpty()) {
                    throw new IllegalStateException("nothing came for " + QUIET_MAX);
                }
                records.forEach(record -> System.out.println(json(record)));
            }
        }
    }

    private static String json(ConsumerRecord<byte[], byte[]> record) {
        List<String> headers = new ArrayList<>();
        for (Header header : record.headers()) {
            byte[] name = header.key().getBytes(StandardCharsets.UTF_8);
            headers.add("[%s, %s]".formatted(hex(name), hex(header.value())));
        }
        return """
            {"topic": "%s", "partition": %d, "offset": %d, "timestamp": %d, \
            "timestamp_type": "%s", "key": %s, "value": %s, "headers": %s}"""
            .formatted(record.topic(), record.partition(), record.offset(), record.timestamp(),
                record.timestampType(), hex(record.key()), hex(record.value()), headers);
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? "null" : '"' + HexFormat.of().formatHex(bytes) + '"';
    }
}
