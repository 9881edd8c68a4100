internal import CMillrace
public import MillraceCore

/// How messages of a queue become jobs.
public struct ConsumerOptions: Sendable {
  /// Messages that it may hold at a time, ready to run or running: 1 to 65,535.
  public var prefetch = 100
  /// Jobs of it that run at a time; 0: as many as there are slots.
  public var concurrency = 0
  /// Of its jobs, 0 low to 3 critical; nil: each message's own, those above 3 as 3.
  public var priority: UInt8?
  /// On whose account its jobs run.
  public var tenant: UInt16 = 0
  /// Nanoseconds that one message may take; 0: any. Beyond, it counts as failed, and others get it.
  public var timeout: UInt64 = 0
  /// It wants the queue to itself.
  public var isExclusive = false
  /// Its function blocks: it runs in the pool for such.
  public var isBlocking = false
  /// It gets a copy of each payload: however long it reads, no memory of the queue is kept from being used again.
  public var copiesOut = false
  /// Its function may leave the settling to whoever completes its job.
  public var isAsynchronous = false

  /// As the fields say.
  public init() {}

  var fault: BrokerError? {
    if !(1...QueueConfiguration.Bounds.prefetch ~= prefetch) {
      return .outOfRange(name: "prefetch", value: prefetch, least: 1, most: QueueConfiguration.Bounds.prefetch)
    }
    if concurrency < 0 { return .outOfRange(name: "concurrency", value: concurrency, least: 0, most: Int.max) }
    if let priority, priority > 3 { return .outOfRange(name: "priority", value: Int(priority), least: 0, most: 3) }
    return nil
  }
}

/// What a consumer does with a message: in the scheduler's slot, on one of its threads. nil: it will be settled by whoever completes the job, whose
/// token was issued.
public typealias ConsumerBody = @Sendable (borrowing Message, inout JobContext) -> Settlement?

/// Takes a delivery out of its job, to be settled whenever its work is done: the consumer holds it until then, and no slot.
public typealias DeliveryBody = @Sendable (consuming Delivery) -> Void

/// What the jobs of a consumer do.
enum ConsumerWork: Sendable {
  case settle(ConsumerBody)
  /// `closed`: told once, when the consumer is closed or its queue deleted.
  case take(DeliveryBody, closed: @Sendable () -> Void)
}

/// A consumer whose messages are jobs: they have the scheduler's priorities, tenants, limits and timeouts.
///
/// # Threads
/// Any.
@safe public final class JobConsumer: @unchecked Sendable {
  // unsafe: a broker keeps its consumers, and the scheduler has stopped before it goes.
  private unowned(unsafe) let owner: Broker
  private var broker: Broker { unsafe owner }
  let place: QueuePlace
  let since: UInt64
  private(set) var number: UInt32 = 0
  private let options: ConsumerOptions
  private let work: ConsumerWork
  /// Set before it has a job, and until nothing of it is alive.
  private var seat: HandlerSeat?
  private let words: Region
  /// 1: it takes no more.
  private var closing: SharedHalf { unsafe SharedHalf(words.base) }
  /// 1: its queue knows it no more, so that there are no more jobs of it.
  private var hasLeft: SharedHalf { unsafe SharedHalf(words.base + 4) }
  /// 2 for each job, whose handler has not returned and whose end it was not told, and 1 until it has left its queue: at 0 its handler may be another's. A job that was cancelled before it began counts for ever:
  /// its handler is not used again.
  private var alive: SharedWord { unsafe SharedWord(words.base + 8) }

  init(_ broker: Broker, _ place: QueuePlace, since: UInt64, _ options: ConsumerOptions, _ work: ConsumerWork) throws(MemoryError) {
    unsafe owner = broker
    (self.place, self.since, self.options) = (place, since, options)
    self.work = work
    words = try Region(bytes: 16)
    _ = alive.exchange(1)
  }

  deinit { words.free() }

  /// Before it has a message. False: the scheduler knows too many handlers.
  func sit(_ scheduler: Scheduler) -> Bool {
    seat = broker.seats.take(HandlerSeats.Kind(isBlocking: options.isBlocking, concurrency: options.concurrency), for: self, scheduler)
    return seat != nil
  }

  /// A handler that calls whoever has the seat. nil: the scheduler knows too many.
  static func register(_ seat: HandlerSeat, _ scheduler: Scheduler) -> HandlerIndex? {
    // unsafe: the broker keeps its seats until the scheduler has stopped.
    let context = unsafe Unmanaged.passUnretained(seat).toOpaque()
    return unsafe scheduler.register(
      Handler(
        run: { context, job in unsafe JobConsumer.from(context).run(job.assumingMemoryBound(to: JobContext.self)).rawValue },
        finished: { context, _, first, second, outcome in unsafe JobConsumer.from(context).finished(first, second, outcome) },
        context: context, blocking: seat.kind.isBlocking, limit: seat.kind.concurrency))
  }

  /// So much less of it is alive.
  func drop(_ count: UInt64) {
    if alive.subtract(count) > 0 { return }
    guard let seat else { return }
    // What it keeps goes with the last reference, outside of every lock of the broker.
    withExtendedLifetime(broker.seats.give(seat)) {}
  }

  /// Its queue knows it no more. Any number of times; no lock of a queue is held.
  func left() { if hasLeft.exchange(1) == 0 { drop(1) } }

  /// Under the queue's lock, before it has a message.
  func enter(_ number: UInt32) { self.number = number }

  private static func from(_ context: UnsafeMutableRawPointer?) -> JobConsumer {
    // unsafe: the context is a seat, which the broker keeps, and whose consumer has it for as long as a job of its own is alive.
    unsafe Unmanaged<HandlerSeat>.fromOpaque(context!).takeUnretainedValue().consumer!
  }

  /// The job of a delivery, with a reference of its own: the message and, above its 48 bits, the counts of deliveries and failures, 255 at most; then
  /// the tag. Under the queue's lock.
  func request(_ delivery: QueueDelivery) -> JobRequest {
    let block = unsafe MessageBlock(delivery.message)
    // Whoever takes the message back meanwhile does not take its memory.
    block.retain()
    guard let seat else { preconditionFailure("invariant broken: a consumer without a handler has a message") }
    _ = alive.add(2)
    return JobRequest(
      handler: seat.handler, priority: options.priority ?? min(block.priority, 3), tenant: options.tenant,
      first: delivery.message | UInt64(min(delivery.acquired, 255)) << 48 | UInt64(min(delivery.failed, 255)) << 56,
      second: UInt64(delivery.tag.generation) << 32 | UInt64(delivery.tag.entry), timeout: options.timeout)
  }

  private func delivery(_ first: UInt64, _ second: UInt64) -> QueueDelivery {
    QueueDelivery(
      consumer: number, tag: QueueTag(entry: UInt32(truncatingIfNeeded: second), generation: UInt32(truncatingIfNeeded: second >> 32)),
      message: first & (1 << 48 - 1), acquired: UInt16(first >> 48 & 0xFF), failed: UInt16(first >> 56))
  }

  // MARK: Jobs

  private func run(_ context: UnsafeMutablePointer<JobContext>) -> Outcome {
    defer { drop(1) }
    var delivery = unsafe delivery(context.pointee.first, context.pointee.second)
    // What is taken is in place: its taker may copy it.
    if options.copiesOut, case .settle = work { broker.copyOut(&delivery) }
    var answer: Settlement? = .release(after: 0)
    // Closed before it began: somebody else may have it.
    if closing.loadAcquiring() == 0 {
      let message = Message(delivery, place: place, since: since)
      switch work {
      case .settle(let body): answer = unsafe body(message, &context.pointee)
      case .take(let body, _):
        body(Delivery(broker, message))
        broker.spaces.with { work in work.cache.release(unsafe MessageBlock(delivery.message)) }
        return .done
      }
    }
    return broker.spaces.with { work in
      work.cache.release(unsafe MessageBlock(delivery.message))
      guard let answer else { return .pending }
      // What was taken back meanwhile is not ours to settle, and the queue knows.
      _ = broker.settle(place, since, delivery.tag, of: number, answer, &work)
      return .done
    }
  }

  /// Its job has ended, other than by its own answer: its time was over, or somebody completed it.
  private func finished(_ first: UInt64, _ second: UInt64, _ outcome: UInt8) {
    defer { drop(1) }
    let answer: Settlement
    switch Outcome(rawValue: outcome) {
    case .done:
      // Said by itself, unless another may say so.
      if !options.isAsynchronous { return }
      answer = .acknowledge
    case .retry, .timedOut: answer = .retry(after: nil)
    case .failed: answer = .reject
    case .cancelled, .pending, nil: answer = .release(after: 0)
    }
    // As above.
    broker.spaces.with { work in _ = broker.settle(place, since, delivery(first, second).tag, of: number, answer, &work) }
  }

  /// It gets no more messages; those that it has not begun go back, and what runs is settled as it ends.
  public func close() {
    // Order: sequentially consistent. Pairs with the acquiring load in `run`.
    let isFirst = closing.exchange(1) == 0
    broker.leave(self)
    if isFirst, case .take(_, let closed) = work { closed() }
  }
}
