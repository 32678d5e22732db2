package shop;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.springframework.boot.CommandLineRunner;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.config.TopicBuilder;
import org.springframework.kafka.core.KafkaAdmin;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.DeadLetterPublishingRecoverer;
import org.springframework.kafka.listener.DefaultErrorHandler;
import org.springframework.util.backoff.FixedBackOff;

/**
 * A service as one writes it with Spring Boot, with nothing of Highwater in it: the framework makes
 * the topics, a template sends, three listeners of one group take, and a record that its listener
 * refuses three times goes to a topic of its own. Ends by itself: 0 when all has come.
 */
@SpringBootApplication
public class Service {
    private static final int ORDERS = 500;

    private final Set<String> taken = ConcurrentHashMap.newKeySet();
    private final CountDownLatch orders = new CountDownLatch(ORDERS);
    private final CountDownLatch refused = new CountDownLatch(1);

    public static void main(String[] words) {
        SpringApplication.run(Service.class, words);
    }

    @Bean
    KafkaAdmin.NewTopics topics() {
        NewTopic orders = TopicBuilder.name("orders").partitions(6).replicas(1).build();
        NewTopic refused = TopicBuilder.name("orders-dlt").partitions(6).replicas(1).build();
        return new KafkaAdmin.NewTopics(orders, refused);
    }

    @Bean
    DefaultErrorHandler errors(KafkaTemplate<String, String> template) {
        var recoverer = new DeadLetterPublishingRecoverer(template);
        return new DefaultErrorHandler(recoverer, new FixedBackOff(50, 2));
    }

    @KafkaListener(topics = "orders", groupId = "shop", concurrency = "3")
    void take(ConsumerRecord<String, String> order) {
        if (order.value().equals("poison")) {
            throw new IllegalStateException("this order cannot be taken");
        }
        if (taken.add(order.value())) {
            orders.countDown();
        }
    }

    @KafkaListener(topics = "orders-dlt", groupId = "shop-refused")
    void lookAt(ConsumerRecord<String, String> order) {
        if (order.value().equals("poison")) {
            refused.countDown();
        }
    }

    @Bean
    CommandLineRunner send(KafkaTemplate<String, String> template) {
        return words -> {
            template.send("orders", "customer-0", "poison").get(30, TimeUnit.SECONDS);
            for (int i = 0; i < ORDERS; i++) {
                template.send("orders", "customer-" + i % 40, "order-" + i);
            }
            template.flush();
            boolean all = orders.await(60, TimeUnit.SECONDS) && refused.await(30, TimeUnit.SECONDS);
            System.out.printf(
                "taken %d of %d, refused %d of 1%n", taken.size(), ORDERS, 1 - refused.getCount());
            new Thread(() -> System.exit(all ? 0 : 1)).start();
        };
    }
}
