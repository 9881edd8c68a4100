import MillraceCore
import MillraceLog
import MillraceTesting

/// A store between a test and a real one: its answers come when the test wishes, and what goes wrong is the test's to say.
///
/// One thread.
final class FaultyStore: EventStore, @unchecked Sendable {
  enum Operation: Equatable {
    case append, read, end, await, save, snapshot, limits, position
  }

  enum Fault {
    case fail(EventStoreError)
    /// It is done, and the answer never comes.
    case loseAnswer
    /// It is done, and answered with this.
    case doneBut(EventStoreError)
    /// It is done, and the answer comes twice.
    case answerTwice
  }

  let inner: any EventStore
  /// Of the operations of its kind: the how manieth, from 0.
  var fault: (Operation, Int) -> Fault? = { _, _ in nil }
  /// Answers wait for `release`.
  var isSlow = false
  /// So do the calls themselves, of these operations: what they find is what is there when they are released.
  var actsLate: (Operation) -> Bool = { _ in false }
  /// The process of whoever uses this is dead: nothing is done any more, and nothing answered.
  var isDead = false
  private(set) var counts: [Operation: Int] = [:]
  private var answers: [() -> Void] = []

  private func count(_ operation: Operation) -> Int { counts[operation] ?? 0 }

  init(_ inner: any EventStore) { self.inner = inner }

  var waiting: Int { answers.count }

  /// Gives one of the answers that wait.
  func release(_ index: Int) { answers.remove(at: index)() }

  private func pass<Value>(
    _ operation: Operation, _ completion: @escaping Completion<Value>, _ call: @escaping (@escaping Completion<Value>) -> Void
  ) {
    if isDead { return }
    let number = count(operation)
    counts[operation] = number + 1
    let fault = fault(operation, number)
    if isDead { return }
    guard isSlow, operation != .await, actsLate(operation) else { return act(fault, completion, call) }
    answers.append { if !self.isDead { self.act(fault, completion, call) } }
  }

  private func act<Value>(_ fault: Fault?, _ completion: @escaping Completion<Value>, _ call: (@escaping Completion<Value>) -> Void) {
    switch fault {
    case .fail(let error): answer(completion, .failure(error))
    case .loseAnswer: call { _ in }
    case .doneBut(let error): call { _ in self.answer(completion, .failure(error)) }
    case .answerTwice:
      call { result in
        self.answer(completion, result)
        self.answer(completion, result)
      }
    case nil: call { self.answer(completion, $0) }
    }
  }

  private func answer<Value>(_ completion: @escaping Completion<Value>, _ result: Result<Value, EventStoreError>) {
    let give = { if !self.isDead { completion(result) } }
    if isSlow { answers.append(give) } else { give() }
  }

  var hasDensePositions: Bool { inner.hasDensePositions }

  func append(_ appends: [StreamAppend], completion: @escaping Completion<AppendReceipt>) {
    pass(.append, completion) { [inner] in inner.append(appends, completion: $0) }
  }

  func read(_ request: ReadRequest, completion: @escaping Completion<EventPage>) {
    pass(.read, completion) { [inner] in inner.read(request, completion: $0) }
  }

  func end(completion: @escaping Completion<UInt64>) { pass(.end, completion) { [inner] in inner.end(completion: $0) } }

  func position(since time: Int64, completion: @escaping Completion<UInt64>) {
    pass(.position, completion) { [inner] in inner.position(since: time, completion: $0) }
  }

  private final class InnerWait: EventWait, @unchecked Sendable {
    var inner: (any EventWait)?
    func cancel() { inner?.cancel() }
  }

  func await(_ position: UInt64, completion: @escaping Completion<UInt64>) -> any EventWait {
    let wait = InnerWait()
    pass(.await, completion) { [inner] in wait.inner = inner.await(position, completion: $0) }
    return wait
  }

  func setLimits(_ limits: StreamLimits, of stream: StreamName, completion: @escaping Completion<Void>) {
    pass(.limits, completion) { [inner] in inner.setLimits(limits, of: stream, completion: $0) }
  }

  func save(_ snapshot: Snapshot, completion: @escaping Completion<Void>) {
    pass(.save, completion) { [inner] in inner.save(snapshot, completion: $0) }
  }

  func snapshot(of stream: StreamName, reducer: String, completion: @escaping Completion<Snapshot?>) {
    pass(.snapshot, completion) { [inner] in inner.snapshot(of: stream, reducer: reducer, completion: $0) }
  }

  func close(completion: @escaping Completion<Void>) { inner.close(completion: completion) }
}
