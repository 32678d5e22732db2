import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Apache Kafka's own Java client, with its defaults, on a topic with append.conditional=true: says
 * by headers which revision of its key a record is, and prints what became of each.
 *
 * <pre>Conditional HOST:PORT TOPIC CELLS</pre>
 *
 * TOPIC gets a story, and CELLS each cell of the table of conditions.
 */
public final class Conditional {
    /** What there was of a key, and what one more record of it says, by its header. */
    private static final String[][] TABLE = {
        {"any of an absent key", "absent", null, null},
        {"any of a key that is there", "present", null, null},
        {"any of a deleted key", "deleted", null, null},
        {"no stream of an absent key", "absent", "es-expect", "no-stream"},
        {"no stream of a key that is there", "present", "es-expect", "no-stream"},
        {"no stream of a deleted key", "deleted", "es-expect", "no-stream"},
        {"exists of an absent key", "absent", "es-expect", "exists"},
        {"exists of a key that is there", "present", "es-expect", "exists"},
        {"exists of a deleted key", "deleted", "es-expect", "exists"},
        {"the first revision of an absent key", "absent", "es-revision", "0"},
        {"the first revision of a key that is there", "present", "es-revision", "0"},
        {"the first revision of a deleted key", "deleted", "es-revision", "0"},
        {"a revision of an absent key", "absent", "es-revision", "2"},
        {"the next revision of a key that is there", "present", "es-revision", "2"},
        {"a lower revision of a key that is there", "present", "es-revision", "1"},
        {"a higher revision of a key that is there", "present", "es-revision", "3"},
        {"the next revision of a deleted key", "deleted", "es-revision", "3"},
    };

    private final String topic;

    private Conditional(String topic) {
        this.topic = topic;
    }

    public static void main(String[] words) throws Exception {
        var it = new Conditional(words[1]);
        try (var producer = producer(words[0], "0")) {
            it.told("the first event", producer, "order-1", "created", "es-revision", "0", "a");
            it.told("the next one", producer, "order-1", "paid", "es-revision", "1", "b");
            it.told("a rival's", producer, "order-1", "cancelled", "es-revision", "1", "c");
            it.told("no stream", producer, "order-1", "created", "es-expect", "no-stream", "d");
            it.told("no number", producer, "order-1", "shipped", "es-revision", "two", "e");
            it.told("an absent key", producer, "order-2", "paid", "es-expect", "exists", "f");
        }
        // It has lost the answer, and its sequence with it.
        try (var producer = producer(words[0], "0")) {
            it.told("the same again", producer, "order-1", "paid", "es-revision", "1", "b");
        }
        try (var producer = producer(words[0], "60000")) {
            List<Future<RecordMetadata>> batch = new ArrayList<>();
            batch.add(producer.send(it.record("order-3", "created", "es-revision", "0", "g")));
            batch.add(producer.send(it.record("order-1", "shipped", "es-revision", "7", "h")));
            batch.add(producer.send(it.record("order-4", "created", "es-revision", "0", "i")));
            producer.flush();
            for (int i = 0; i < batch.size(); i++) {
                print("record " + i + " of a batch", batch.get(i));
            }
        }
        try (var producer = producer(words[0], "0")) {
            it.told("alone", producer, "order-3", "created", "es-revision", "0", "g");
            it.told("a tombstone", producer, "order-1", null, "es-revision", "2", "j");
            it.told("behind it", producer, "order-1", "paid", "es-revision", "3", "k");
        }
        it.repeats(words[0]);
        var cells = new Conditional(words[2]);
        try (var producer = producer(words[0], "0")) {
            for (String[] cell : TABLE) {
                cells.cell(producer, cell[0], cell[1], cell[2], cell[3]);
            }
        }
    }

    /** The retry rule: each producer is a new one, and knows nothing of what was sent before. */
    private void repeats(String address) throws Exception {
        String[][] steps = {
            {"no stream, stored", "es-expect", "no-stream", "l"},
            {"no stream again", "es-expect", "no-stream", "l"},
            {"no stream with another id", "es-expect", "no-stream", "m"},
            {"a revision, stored", "es-revision", "1", "n"},
            {"a revision again", "es-revision", "1", "n"},
            {"an earlier one again", "es-revision", "0", "l"},
            {"a revision with another id", "es-revision", "1", "m"},
            {"exists, stored", "es-expect", "exists", "o"},
            {"exists again", "es-expect", "exists", "o"},
            {"any, stored", null, null, "p"},
            {"any again", null, null, "p"},
        };
        for (String[] step : steps) {
            try (var producer = producer(address, "0")) {
                told(step[0], producer, "order-5", "x", step[1], step[2], step[3]);
            }
        }
        try (var producer = producer(address, "60000")) {
            var first = producer.send(record("order-5", "x", "es-revision", "0", "l"));
            var second = producer.send(record("order-5", "x", "es-revision", "1", "m"));
            producer.flush();
            print("record 0 of half a repeat", first);
            print("record 1 of half a repeat", second);
        }
    }

    private void cell(
            KafkaProducer<String, String> producer,
            String name, String before, String header, String condition) throws Exception {
        int count = switch (before) {
            case "absent" -> 0;
            case "present" -> 2;
            default -> 3;
        };
        for (int revision = 0; revision < count; revision++) {
            producer.send(record(name, revision < 2 ? "x" : null, null, null, "old")).get();
        }
        told(name, producer, name, "new", header, condition, "new");
    }

    private static KafkaProducer<String, String> producer(String address, String lingerMs) {
        Properties config = new Properties();
        config.put("bootstrap.servers", address);
        config.put("client.id", "interop-conditional");
        config.put("linger.ms", lingerMs);
        var text = new StringSerializer();
        return new KafkaProducer<>(config, text, text);
    }

    private ProducerRecord<String, String> record(
            String key, String value, String name, String condition, String id) {
        var record = new ProducerRecord<String, String>(topic, key, value);
        if (name != null) {
            record.headers().add(name, condition.getBytes(StandardCharsets.UTF_8));
        }
        record.headers().add("ce_id", id.getBytes(StandardCharsets.UTF_8));
        return record;
    }

    private void told(
            String step, KafkaProducer<String, String> producer,
            String key, String value, String name, String condition, String id) throws Exception {
        print(step, producer.send(record(key, value, name, condition, id)));
    }

    private static void print(String step, Future<RecordMetadata> sent) throws Exception {
        String outcome;
        try {
            outcome = "offset " + sent.get().offset();
        } catch (ExecutionException failed) {
            Throwable cause = failed.getCause();
            outcome = cause.getClass().getSimpleName() + ": " + cause.getMessage();
        }
        System.out.println(step + ": " + outcome);
    }
}
