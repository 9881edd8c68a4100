import Dispatch
import MillraceBroker
import MillraceCore
import Synchronization
import Testing

/// Threads that route while another one binds and unbinds. Each answer must be that of a table that was there between its question and itself, and no thread may see
/// an older table after a newer one.
@Suite struct ConcurrentRoutingTests {
  /// Changes that come back to where they began, and what each probe finds after each of them.
  struct Script: Sendable {
    let changes: [@Sendable (Router) throws -> Void]
    let probes: [(name: BrokerName, key: [UInt8])]
    /// By the number of changes made, and probe.
    let expected: [[[UInt32]]]

    static let shared = Script(seed: 21, changes: 400)
    static let exchanges: [(String, ExchangeKind)] = [("t", .topic), ("d", .direct), ("f", .fanout)]
    static let queues = 80 as UInt32

    init(seed: UInt64, changes count: Int) {
      var numbers = SeededNumbers(seed)
      var naive = Naive()
      for (exchange, kind) in Script.exchanges {
        naive.exchanges[name(exchange)] = Naive.Exchange(kind: kind)
        if exchange == "d" { naive.exchanges[name(exchange)]!.options = Script.alternate }
      }
      for number in 0..<Script.queues { naive.queues[name("q\(number)")] = number }
      let words = ["a", "b", "c", "*", "#"]
      let pool = (0..<120).map { _ in
        let source = Script.exchanges.randomElement(using: &numbers)!.0
        let key = (0..<Int.random(in: 1..<4, using: &numbers)).map { _ in words.randomElement(using: &numbers)! }.joined(separator: ".")
        let target =
          Int.random(in: 0..<8, using: &numbers) == 0
          ? BindingTarget.exchange(name("t")) : .queue(name("q\(UInt32.random(in: 0..<Script.queues, using: &numbers))"))
        return Binding(source, target, key)
      }
      let probes = (0..<24).map { number in
        let key = (0..<Int.random(in: 1..<4, using: &numbers)).map { _ in words[Int.random(in: 0..<3, using: &numbers)] }.joined(
          separator: ".")
        return (name: name(Script.exchanges[number % 3].0), key: Array(key.utf8))
      }
      var changes: [@Sendable (Router) throws -> Void] = []
      var expected: [[[UInt32]]] = []
      while changes.count < count || !naive.bindings.isEmpty {
        expected.append(probes.map { naive.route($0.name, $0.key).sorted() })
        // The way back takes what is left, in a fixed order.
        let left = pool.first { naive.bindings.contains($0) }
        let binding = changes.count < count ? pool.randomElement(using: &numbers)! : left!
        if naive.bindings.contains(binding) {
          naive.unbind(binding)
          changes.append { _ = try $0.unbind(binding) }
        } else {
          naive.bindings.insert(binding)
          changes.append { _ = try $0.bind(binding) }
        }
      }
      (self.changes, self.probes, self.expected) = (changes, probes, expected)
    }

    static var alternate: ExchangeOptions {
      var options = ExchangeOptions()
      options.alternate = name("t")
      return options
    }
  }

  /// How far the writer is, counted in changes.
  final class Progress: Sendable {
    let begun = Atomic<Int>(0)
    let made = Atomic<Int>(0)
    let readers = Atomic<Int>(0)
    let wrong = Mutex<[String]>([])
  }

  @Test("each answer is that of a table between question and answer, and tables never go back", arguments: [0, 16, 8_192])
  func readers(cachedRoutes: Int) throws {
    let script = Script.shared
    var limits = RoutingLimits()
    limits.cachedRoutes = cachedRoutes
    let router = try Router(limits, seed: 4)
    for (exchange, kind) in Script.exchanges {
      try router.declare(name(exchange), kind, exchange == "d" ? Script.alternate : ExchangeOptions())
    }
    for number in 0..<Script.queues { try router.add(queue: name("q\(number)"), number: number) }
    let before = router.tableBytes - router.retiredBytes
    let progress = Progress()
    let group = DispatchGroup()
    let readers = 3
    for reader in 0..<readers {
      group.enter()
      #expect(
        OwnThread.run {
          do { try Self.read(router, script, progress, seed: UInt64(reader), answers: 1_500) } catch {
            progress.wrong.withLock { $0.append("\(error)") }
          }
          progress.readers.add(1, ordering: .sequentiallyConsistent)
          group.leave()
        })
    }
    var made = 0
    while progress.readers.load(ordering: .sequentiallyConsistent) < readers || made % script.changes.count != 0 {
      // Order: sequentially consistent, all. Pairs with the loads in `read`.
      progress.begun.store(made + 1, ordering: .sequentiallyConsistent)
      try script.changes[made % script.changes.count](router)
      made += 1
      progress.made.store(made, ordering: .sequentiallyConsistent)
    }
    group.wait()
    progress.wrong.withLock { #expect($0 == []) }
    #expect(router.bindingCount == 0)
    #expect(router.tableBytes - router.retiredBytes == before, "what is not there takes no memory")
    #expect(router.retiredBytes < 1 << 20, "what nobody reads is freed")
  }

  private static func read(_ router: Router, _ script: Script, _ progress: Progress, seed: UInt64, answers: Int) throws {
    var numbers = SeededNumbers(seed)
    var lane = try router.makeLane()
    let exchanges = script.probes.map { router.exchange(named: $0.name)! }
    var oldest = 0
    for _ in 0..<answers {
      let probe = Int.random(in: script.probes.indices, using: &numbers)
      let begin = max(oldest, progress.made.load(ordering: .sequentiallyConsistent))
      let found = try lane.route(exchanges[probe], script.probes[probe].key)
      let end = progress.begun.load(ordering: .sequentiallyConsistent)
      guard let at = (begin...end).first(where: { script.expected[$0 % script.expected.count][probe] == found }) else {
        progress.wrong.withLock { $0.append("probe \(probe) between \(begin) and \(end): \(found)") }
        return
      }
      oldest = at
    }
  }

  @Test("lanes come and go while others route; a lane's counts stay") func lanes() throws {
    let router = try Router(seed: 4)
    let exchange = try router.declare(name("f"), .fanout)
    try router.add(queue: name("q0"), number: 0)
    try router.bind(Binding("f", .queue(name("q0"))))
    let group = DispatchGroup()
    let wrong = Mutex<[String]>([])
    for thread in 0..<4 {
      group.enter()
      #expect(
        OwnThread.run {
          do {
            for round in 0..<50 {
              var lane = try router.makeLane()
              for number in 0..<20 where try lane.route(exchange, "\(number % 3)") != [0] { wrong.withLock { $0.append("\(round)") } }
              if thread == 0 {
                try router.declare(name("other"), .direct)
                try router.delete(exchange: name("other"))
              }
            }
          } catch { wrong.withLock { $0.append("\(error)") } }
          group.leave()
        })
    }
    group.wait()
    wrong.withLock { #expect($0 == []) }
    #expect(router.counts.routed == 4 * 50 * 20)
  }
}
