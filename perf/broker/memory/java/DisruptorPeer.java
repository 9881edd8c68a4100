import com.lmax.disruptor.BlockingWaitStrategy;
import com.lmax.disruptor.BusySpinWaitStrategy;
import com.lmax.disruptor.EventHandler;
import com.lmax.disruptor.RingBuffer;
import com.lmax.disruptor.WaitStrategy;
import com.lmax.disruptor.YieldingWaitStrategy;
import com.lmax.disruptor.dsl.Disruptor;
import com.lmax.disruptor.dsl.ProducerType;
import com.lmax.disruptor.util.DaemonThreadFactory;
import java.util.Arrays;

/**
 * LMAX Disruptor: one ring, whose events hold their messages, and a handler with a thread for each consumer. {@code ROW/WAIT} publishes one by one,
 * {@code ROW/WAIT-batch} 64 at once; WAIT is spin, yield or blocking. The ring has 1,024 places: a power of two.
 */
final class DisruptorPeer {
  static final long MIX = 0x9e3779b97f4a7c15L;
  static final int RING = 1024;
  static final int BATCH = 64;
  static final int LOOKS = 256;
  static final int BLOCK = 64 * 1024;
  static final long INTERVAL = 100_000; // ns: 10,000 a second

  /** Of which the first words are written and read. */
  static final class Message {
    final long[] words;

    Message(int words) {
      this.words = new long[words];
    }
  }

  record Row(String name, int length, int words, int consumers, boolean timed) {}

  static final Row[] ROWS = {
    new Row("msg-1-1", 8, 8, 1, false), new Row("msg-1-1-1k", 128, 128, 1, false), new Row("msg-1-4", 8, 8, 4, false),
    new Row("msg-64k", BLOCK / 8, 8, 4, false), new Row("latency-spin", 8, 8, 1, true), new Row("latency-park", 8, 8, 1, true),
  };

  static void fill(long[] words, int count, long i) {
    long first = i * MIX;
    for (int k = 0; k < count; k++) words[k] = first + k;
  }

  static long sum(long[] words, int count) {
    long total = 0;
    for (int k = 0; k < count; k++) total += words[k];
    return total;
  }

  static long triangle(long n) {
    return n % 2 == 0 ? n / 2 * (n - 1) : n * ((n - 1) / 2);
  }

  static final class Consumer implements EventHandler<Message> {
    final int words;
    final long[] latencies; // null where there are none
    long received;
    long total;

    Consumer(Row row, long length) {
      words = row.words;
      latencies = row.timed ? new long[(int) (length / INTERVAL) + 1] : null;
    }

    @Override
    public void onEvent(Message message, long sequence, boolean endOfBatch) {
      if (latencies != null) latencies[(int) received] = System.nanoTime() - message.words[0];
      total += sum(message.words, words);
      received++;
    }
  }

  static long publish(RingBuffer<Message> ring, int words, long begin, long length) {
    long i = 0;
    do {
      for (int k = 0; k < LOOKS; k++) {
        long place = ring.next();
        fill(ring.get(place).words, words, i++);
        ring.publish(place);
      }
    } while (System.nanoTime() - begin < length);
    return i;
  }

  static long publishBatches(RingBuffer<Message> ring, int words, long begin, long length) {
    long i = 0;
    do {
      for (int k = 0; k < LOOKS / BATCH; k++) {
        long last = ring.next(BATCH);
        for (long place = last - BATCH + 1; place <= last; place++) fill(ring.get(place).words, words, i++);
        ring.publish(last - BATCH + 1, last);
      }
    } while (System.nanoTime() - begin < length);
    return i;
  }

  /** From the moment that each was due, whatever kept the publisher. */
  static long publishOnTime(RingBuffer<Message> ring, int words, long begin, long length) {
    long i = 0;
    for (; i * INTERVAL < length; i++) {
      long due = begin + i * INTERVAL;
      while (System.nanoTime() - due < 0) Thread.onSpinWait();
      long place = ring.next();
      long[] message = ring.get(place).words;
      fill(message, words, 0);
      message[0] = due;
      ring.publish(place);
    }
    return i;
  }

  static WaitStrategy wait(String name) {
    return switch (name) {
      case "spin" -> new BusySpinWaitStrategy();
      case "yield" -> new YieldingWaitStrategy();
      case "blocking" -> new BlockingWaitStrategy();
      default -> null;
    };
  }

  /** The line of the work. */
  static String run(String work, Row row, WaitStrategy wait, boolean batch, long length) {
    Disruptor<Message> disruptor = new Disruptor<>(() -> new Message(row.length), RING, DaemonThreadFactory.INSTANCE, ProducerType.SINGLE, wait);
    Consumer[] consumers = new Consumer[row.consumers];
    Arrays.setAll(consumers, i -> new Consumer(row, length));
    disruptor.handleEventsWith(consumers);
    RingBuffer<Message> ring = disruptor.start();
    long begin = System.nanoTime() + (row.timed ? 1_000_000 : 0);
    long messages = row.timed ? publishOnTime(ring, row.words, begin, length)
        : batch ? publishBatches(ring, row.words, begin, length) : publish(ring, row.words, begin, length);
    disruptor.shutdown(); // when all have been handled
    double seconds = (System.nanoTime() - begin) / 1e9;
    long right = row.timed ? messages * (begin + triangle(8)) + INTERVAL * triangle(messages)
        : row.words * MIX * triangle(messages) + messages * triangle(row.words);
    long received = 0;
    for (Consumer consumer : consumers) {
      if (consumer.received != messages || consumer.total != right) quit(1, consumer.received + " of " + messages + " messages were received, or their sum is wrong");
      received += consumer.received;
    }
    String line = String.format("{\"work\":\"%s\",\"messages\":%d,\"received\":%d,\"lost\":0,\"bytes\":%d,\"consumers\":%d,\"seconds\":%.9f",
        work, messages, received, row.length * 8, row.consumers, seconds);
    if (!row.timed) return line + "}";
    long[] latencies = consumers[0].latencies;
    Arrays.sort(latencies, 0, (int) messages);
    return line + ",\"p50_ns\":" + percentile(latencies, messages, 0.5) + ",\"p99_ns\":" + percentile(latencies, messages, 0.99) + "}";
  }

  static String percentile(long[] sorted, long count, double p) {
    return count * (1 - p) < 10 ? "null" : Long.toString(sorted[(int) (p * count)]);
  }

  static void quit(int code, String text) {
    System.err.println("broker: " + text);
    System.exit(code);
  }

  static double seconds(String text) {
    try {
      return Double.parseDouble(text);
    } catch (NumberFormatException wrong) {
      return 0;
    }
  }

  public static void main(String[] arguments) {
    if (arguments.length != 2 || !(seconds(arguments[1]) > 0 && seconds(arguments[1]) <= 3600)) quit(64, "usage: disruptor WORK SECONDS");
    String[] parts = arguments[0].split("/", 2);
    String way = parts.length == 2 ? parts[1] : "";
    boolean batch = way.endsWith("-batch");
    String waiting = batch ? way.substring(0, way.length() - "-batch".length()) : way;
    Row row = Arrays.stream(ROWS).filter(some -> some.name.equals(parts[0])).findFirst().orElse(null);
    if (row == null || wait(waiting) == null || (row.timed && batch)) quit(64, "there is no " + arguments[0]);
    long length = (long) (seconds(arguments[1]) * 1e9);
    // Longer than the others, a second where it can be: the compiler is at work meanwhile.
    run(arguments[0], row, wait(waiting), batch, Math.max(length / 2, Math.min(5 * length, 1_000_000_000)));
    System.out.println(run(arguments[0], row, wait(waiting), batch, length));
  }
}
