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
 * <pre>Conditional HOST:PORT TOPIC</pre>
 */
public final class Conditional {
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
        record.headers().add(name, condition.getBytes(StandardCharsets.UTF_8));
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
