#if MODEL_CHECK
  import Testing

  @testable import MillraceCore
  @testable import MillraceLog

  /// The log's real ring and role under every schedule with two preemptions.
  @Suite struct HandOverModelTests {
    /// Who takes what; one thread runs at a time.
    @safe private final class Desk: @unchecked Sendable {
      let handOver: HandOver
      let total: Int
      var taken: [Int] = []
      var holders = 0
      var overlaps = 0

      init(total: Int) {
        self.total = total
        do { handOver = try HandOver(capacity: 4) } catch { preconditionFailure("\(error)") }
      }

      func append(_ numbers: [Int], mayLead: Bool) {
        guard handOver.reserve(numbers.count) else { preconditionFailure("there is room") }
        // Safe: numbers, not addresses; nobody looks behind them.
        let requests = unsafe numbers.map { unsafe UnsafeMutableRawPointer(bitPattern: $0)! }
        unsafe requests.withUnsafeBufferPointer { unsafe handOver.publish($0) }
        guard handOver.claim(grant: !mayLead) else { return }
        takeAll()
        _ = handOver.giveBack(isThread: false)
      }

      func takeAll() {
        holders += 1
        if holders > 1 { overlaps += 1 }
        var count = 0
        while let request = unsafe handOver.peek() {
          handOver.take()
          taken.append(Int(bitPattern: request))
          count += 1
        }
        handOver.release(count)
        holders -= 1
      }

      /// The committer's thread, until all is taken.
      func work() {
        while taken.count < total {
          if handOver.awaitGrant(-1) { repeat { takeAll() } while handOver.giveBack(isThread: true) }
        }
      }

      var failure: String? {
        if overlaps > 0 { return "two committed at once" }
        if taken.sorted() != Array(1...total) { return "taken: \(taken)" }
        if handOver.underWay != 0 { return "room is lost" }
        return nil
      }
    }

    @Test("two appending threads and the committer's: each request once, nobody sleeps on, one commits at a time")
    func appenders() {
      let report = Explorer.explore {
        let desk = Desk(total: 3)
        return Scenario(bodies: [
          { desk.append([1, 2], mayLead: false) }, { desk.append([3], mayLead: false) }, { desk.work() },
        ]) {
          let own = desk.taken.filter { $0 < 3 }
          return desk.failure ?? (own == [1, 2] ? nil : "out of order: \(desk.taken)")
        }
      }
      #expect(report.failure == nil)
      #expect(report.schedules > 1000)
    }

    @Test("a thread that commits by itself leaves nothing behind that another has appended meanwhile")
    func leaders() {
      let report = Explorer.explore {
        let desk = Desk(total: 3)
        return Scenario(bodies: [
          { desk.append([1], mayLead: true) },
          {
            desk.append([2], mayLead: true)
            desk.append([3], mayLead: false)
          },
          { desk.work() },
        ]) { desk.failure }
      }
      #expect(report.failure == nil)
      #expect(report.schedules > 1000)
    }
  }
#endif
