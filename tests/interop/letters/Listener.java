package letters;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.CommandLineRunner;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.support.KafkaHeaders;
import org.springframework.messaging.handler.annotation.Header;

/**
 * Reads dead letters as one does with Spring: by the framework's names of their headers, in the
 * types that its documentation gives them, converted by the framework alone. Prints a line of JSON
 * a letter, and ends by itself: 0 when as many have come as {@code letters.count} says.
 */
@SpringBootApplication
public class Listener {
    private final ObjectMapper json;
    private final CountDownLatch awaited;

    Listener(ObjectMapper json, @Value("${letters.count}") int count) {
        this.json = json;
        this.awaited = new CountDownLatch(count);
    }

    public static void main(String[] words) {
        SpringApplication.run(Listener.class, words);
    }

    @KafkaListener(topics = "#{'${letters.topics}'.split(',')}", groupId = "letters")
    void read(
        @Header(KafkaHeaders.RECEIVED_TOPIC) String topic,
        @Header(KafkaHeaders.RECEIVED_PARTITION) int partition,
        @Header(KafkaHeaders.OFFSET) long offset,
        @Header(KafkaHeaders.DLT_ORIGINAL_TOPIC) String originalTopic,
        @Header(KafkaHeaders.DLT_ORIGINAL_PARTITION) int originalPartition,
        @Header(KafkaHeaders.DLT_ORIGINAL_OFFSET) long originalOffset,
        @Header(KafkaHeaders.DLT_ORIGINAL_TIMESTAMP) long originalTimestamp,
        @Header(KafkaHeaders.DLT_ORIGINAL_TIMESTAMP_TYPE) String originalTimestampType,
        @Header(KafkaHeaders.DLT_ORIGINAL_CONSUMER_GROUP) String originalGroup,
        @Header(KafkaHeaders.DLT_EXCEPTION_FQCN) String error,
        @Header(KafkaHeaders.DLT_EXCEPTION_MESSAGE) String message,
        @Header(KafkaHeaders.DLT_EXCEPTION_STACKTRACE) String stack
    ) throws JsonProcessingException {
        Map<String, Object> letter = new LinkedHashMap<>();
        letter.put("at", topic + "-" + partition + "@" + offset);
        letter.put("topic", originalTopic);
        letter.put("partition", originalPartition);
        letter.put("offset", originalOffset);
        letter.put("timestamp", originalTimestamp);
        letter.put("timestamp_type", originalTimestampType);
        letter.put("group", originalGroup);
        letter.put("error", error);
        letter.put("message", message);
        letter.put("stack", stack);
        System.out.println("letter " + json.writeValueAsString(letter));
        awaited.countDown();
    }

    @Bean
    CommandLineRunner end() {
        return words -> {
            boolean all = awaited.await(60, TimeUnit.SECONDS);
            new Thread(() -> System.exit(all ? 0 : 1)).start();
        };
    }
}
