internal import Millrace
internal import MillraceCore
internal import MillraceWorkflow

/// What is asked of queues, and what is answered: the same for the process that has them and, by the socket, for others.
///
/// | Verb | Members | Answers |
/// |---|---|---|
/// | `queue-list` | | `queues` |
/// | `queue-declare` | `queue`, `settings`, `exchanges`, `binds` | `isNew` |
/// | `queue-publish` | `exchange`, `key`, `bodies`, properties | `accepted`, `duplicates`, `confirmed`, `refusal` |
/// | `queue-take` | `queue`, `count` | `messages`, held until settled or the caller leaves |
/// | `queue-settle` | `how`, `count` | `settled`; the rest goes back |
/// | `queue-redrive` | `queue`, options, `dryRun` | what a preview tells, or nothing |
/// | `queue-step` | | `state`, `progress` |
/// | `queue-purge` | `queue` | `purged` |
final class QueueDesk: ControlAnswering {
  /// The process that has the queues, among clients.
  static let own: Int32 = -1
  /// Messages that one question takes, at most, and bytes of what a line says of them.
  static let mostTaken = 64
  private static let lineBytes = 48 << 10
  private static let ownBytes = 8 << 20
  /// Nanoseconds that a question may step a redrive, and that the disk is waited for.
  private static let stepTime: UInt64 = 10_000_000
  private static let diskPatience: UInt64 = 20_000_000_000

  struct Problem: Error {
    var code: String
    var message: String
  }

  /// What a client has in its hands.
  private final class Guest {
    var queue: BrokerName?
    var receiver: Taker?
    var held: [ReceivedMessage] = []
    var redrive: RedriveBox?
  }

  /// A receiver that is kept.
  private final class Taker {
    var receiver: Receiver
    init(_ receiver: consuming Receiver) { self.receiver = receiver }
  }

  private final class RedriveBox {
    var redrive: Redrive
    init(_ redrive: consuming Redrive) { self.redrive = redrive }
  }

  private final class PublisherBox {
    var publisher: Publisher
    init(_ publisher: consuming Publisher) { self.publisher = publisher }
  }

  let broker: Broker
  private var publishing: PublisherBox
  private var guests: [Int32: Guest] = [:]

  /// Throws `BrokerError`.
  init(_ broker: Broker) throws(BrokerError) {
    self.broker = broker
    publishing = PublisherBox(try broker.makePublisher())
  }

  func left(_ client: Int32) { guests[client] = nil }

  /// All that clients hold goes back.
  func end() {
    guests = [:]
  }

  func answer(_ line: [UInt8], of client: Int32) -> JSON {
    do throws(JSONSyntaxError) { return answer(try JSON(parsing: line), of: client) } catch {
      return ControlDesk.refusal("bad-request", "no JSON: \(error)")
    }
  }

  /// `wait`: nanoseconds for which a message is waited for.
  func answer(_ request: JSON, of client: Int32, wait: UInt64 = 0) -> JSON {
    do throws(Problem) {
      return .object([.init("ok", true)] + (try act(QueueRequest(request), client, wait)))
    } catch { return ControlDesk.refusal(error.code, error.message) }
  }

  private func act(_ request: QueueRequest, _ client: Int32, _ wait: UInt64) throws(Problem) -> [JSON.Member] {
    let verb = try request.text("verb")
    switch verb {
    case "queue-list": return try list()
    case "queue-declare": return try declare(request)
    case "queue-publish": return try publish(request)
    case "queue-take": return try take(request, client, wait)
    case "queue-settle": return try settle(request, client)
    case "queue-redrive": return try redrive(request, client)
    case "queue-step": return try step(client)
    case "queue-purge":
      let queue = try queue(request)
      return [.init("purged", .integer(Int64(try brokering { () throws(BrokerError) in try broker.purge(queue: queue) })))]
    default: throw Problem(code: "bad-request", message: "no verb of queues is '\(verb.prefix(64))'")
    }
  }

  private func brokering<Value>(_ body: () throws(BrokerError) -> Value) throws(Problem) -> Value {
    do throws(BrokerError) { return try body() } catch {
      if case .noQueue(let name) = error { throw unknown(name.description) }
      let isBusy = Refusal(error).exit == .tryAgain
      throw Problem(code: isBusy ? "busy" : "refused", message: "\(error)")
    }
  }

  private func unknown(_ queue: String) -> Problem {
    var names = NearestName()
    let known = broker.queues.map(\.description)
    let guess = names.nearest(to: queue, among: known).map { "did you mean '\($0)'?" } ?? "`millrace queue list` shows those that there are"
    return Problem(code: "unknown-queue", message: "there is no queue '\(queue.prefix(BrokerName.maxBytes))': \(guess)")
  }

  /// A queue that is there.
  private func queue(_ request: QueueRequest) throws(Problem) -> BrokerName {
    let name = try request.name("queue")
    _ = try brokering { () throws(BrokerError) in try broker.configuration(of: name) }
    return name
  }

  private func guest(_ client: Int32) -> Guest {
    if let guest = guests[client] { return guest }
    let guest = Guest()
    guests[client] = guest
    return guest
  }

  // MARK: Queues

  private func list() throws(Problem) -> [JSON.Member] {
    var queues: [JSON] = []
    for queue in broker.queues {
      let members = try brokering { () throws(BrokerError) in
        let (statistics, contents) = (try broker.statistics(of: queue), try broker.contents(of: queue))
        let configuration = try broker.configuration(of: queue)
        return JSON.object([
          .init("queue", .string(queue.description)), .init("ready", .integer(Int64(statistics.ready))),
          .init("unacknowledged", .integer(Int64(statistics.unacknowledged))), .init("delayed", .integer(Int64(statistics.delayed))),
          .init("bytes", .integer(Int64(statistics.bytes))), .init("consumers", .integer(Int64(statistics.consumers))),
          .init("deadLetters", .integer(Int64(contents.deadLetters))),
          .init("oldestSeconds", contents.oldest.map { .integer(max(0, broker.wall - $0) / 1_000_000_000) } ?? .null),
          .init("deadLettersTo", configuration.deadLetters?.words ?? .null),
        ])
      }
      queues.append(members)
    }
    return [.init("queues", .array(queues))]
  }

  private func declare(_ request: QueueRequest) throws(Problem) -> [JSON.Member] {
    let name = try request.name("queue")
    let configuration = try request.configuration()
    var bindings: [Binding] = []
    var exchanges: [(BrokerName, ExchangeKind)] = []
    for exchange in try request.list("exchanges") { exchanges.append((try exchange.name("name"), try exchange.kind("kind"))) }
    for bind in try request.list("binds") {
      bindings.append(Binding(try bind.name("exchange"), to: .queue(name), key: try bind.text("key")))
    }
    let isNew = try brokering { () throws(BrokerError) in
      var options = ExchangeOptions()
      options.isDurable = true
      for (exchange, kind) in exchanges { try broker.declare(exchange: exchange, kind, options) }
      let isNew = try broker.declare(queue: name, configuration)
      for binding in bindings { try broker.bind(binding) }
      return isNew
    }
    return [.init("isNew", .bool(isNew))]
  }

  // MARK: Publishing

  private func publish(_ request: QueueRequest) throws(Problem) -> [JSON.Member] {
    let envelope = try request.envelope(broker, wall: broker.wall)
    // To a queue by its name: one that is not there is told as such.
    if envelope.exchange == .default {
      _ = try brokering { () throws(BrokerError) in try broker.configuration(of: try name(envelope.key)) }
    }
    var (accepted, duplicates) = (0, 0)
    var refusal: PublishRefusal?
    for body in try request.bodies() {
      do throws(PublishRefusal) {
        if try publishing.publisher.publish(body.span, envelope) == nil { duplicates += 1 } else { accepted += 1 }
      } catch {
        refusal = error
        break
      }
    }
    var failure: String?
    var confirmed = accepted
    if let confirms = publishing.publisher.confirms {
      let last = confirms.published
      if !confirms.wait(for: last, nanoseconds: QueueDesk.diskPatience) { failure = "the disk has not taken them yet" }
      for failed in confirms.failed where failed.messages.upperBound > last - UInt64(accepted) {
        confirmed -= failed.messages.count
        failure = failed.why
      }
      // Told of once: others publish by this one, too.
      if failure != nil { publishing = try brokering { () throws(BrokerError) in PublisherBox(try broker.makePublisher()) } }
    }
    let isBusy = failure != nil || refusal.map { $0.isForNow } ?? false
    return [
      .init("accepted", .integer(Int64(accepted))), .init("duplicates", .integer(Int64(duplicates))),
      .init("confirmed", .integer(Int64(max(0, confirmed)))), .init("refusal", (failure ?? refusal?.description).map(JSON.string) ?? .null),
      .init("again", .bool(isBusy)),
    ]
  }

  private func name(_ key: [UInt8]) throws(BrokerError) -> BrokerName {
    do throws(RoutingError) { return try BrokerName(String(decoding: key, as: UTF8.self)) } catch { throw .routing(error) }
  }

  // MARK: Consuming

  private func take(_ request: QueueRequest, _ client: Int32, _ wait: UInt64) throws(Problem) -> [JSON.Member] {
    let queue = try queue(request)
    let most = min(QueueDesk.mostTaken, try request.integer("count") ?? 1)
    let guest = guest(client)
    if guest.queue != queue || guest.receiver == nil {
      guest.held = []
      guest.receiver = try brokering { () throws(BrokerError) in Taker(try broker.makeReceiver(queue)) }
      guest.queue = queue
    }
    let bound = client == QueueDesk.own ? QueueDesk.ownBytes : QueueDesk.lineBytes
    var messages: [JSON] = []
    var bytes = 0
    while messages.count < most {
      let next: ReceivedMessage? = try brokering { () throws(BrokerError) in
        guard let delivery = try guest.receiver?.receiver.next(wait: messages.isEmpty && wait > 0 ? .sleep(nanoseconds: wait) : .none)
        else {
          return nil
        }
        return ReceivedMessage(delivery)
      }
      guard let next else { break }
      let json = next.json(queue: queue.description)
      let size = json.utf8().count
      if bytes + size > bound, client != QueueDesk.own || !messages.isEmpty {
        if !messages.isEmpty { break }
        throw Problem(
          code: "too-large",
          message:
            "the next message of '\(queue)' takes \(size) bytes, too many for a line: end the process that has these queues, and consume it then"
        )
      }
      bytes += size
      messages.append(json)
      guest.held.append(next)
    }
    return [.init("messages", .array(messages))]
  }

  private func settle(_ request: QueueRequest, _ client: Int32) throws(Problem) -> [JSON.Member] {
    let guest = guest(client)
    let how: Settlement
    switch try request.text("how") {
    case "acknowledge": how = .acknowledge
    case "reject": how = .reject
    case "release": how = .release(after: 0)
    default: throw Problem(code: "bad-request", message: "'how' is acknowledge, reject or release")
    }
    let count = min(guest.held.count, try request.integer("count") ?? guest.held.count)
    var settled = 0
    for message in guest.held.prefix(count) {
      // Taken back by its queue's lease, or deleted with it: others have it.
      do throws(SettleError) { try message.settle(how) } catch { continue }
      settled += 1
    }
    // The rest goes back as it is let go of.
    guest.held = []
    return [.init("settled", .integer(Int64(settled)))]
  }

  // MARK: Redriving

  private func redrive(_ request: QueueRequest, _ client: Int32) throws(Problem) -> [JSON.Member] {
    let queue = try queue(request)
    let options = try request.redriveOptions()
    if request.flag("dryRun") {
      let preview = try brokering { () throws(BrokerError) in
        try broker.redrivePreview(from: queue, options, letters: min(100, max(0, Int(request.json["letters"]?.integer ?? 10))))
      }
      return preview.members
    }
    let box = try brokering { () throws(BrokerError) in RedriveBox(try broker.redrive(from: queue, options)) }
    guest(client).redrive = box
    return [.init("total", .integer(Int64(box.redrive.progress.total)))]
  }

  private func step(_ client: Int32) throws(Problem) -> [JSON.Member] {
    guard let box = guests[client]?.redrive else { throw Problem(code: "bad-request", message: "there is no redrive to go on with") }
    let begin = Clock.monotonic.now
    var step = RedriveStep.now
    while step == .now, Clock.monotonic.now &- begin < QueueDesk.stepTime { step = box.redrive.step() }
    var members = box.redrive.progress.members
    switch step {
    case .now: members.append(.init("state", "now"))
    case .at(let moment):
      members.append(.init("state", "at"))
      members.append(.init("nanoseconds", .integer(Int64(clamping: moment &- min(moment, broker.now)))))
    case .done:
      members.append(.init("state", "done"))
      if let confirms = box.redrive.confirms {
        _ = confirms.wait(for: confirms.published, nanoseconds: QueueDesk.diskPatience)
        let failed = confirms.failed
        members.append(.init("confirmed", .integer(Int64(confirms.ended) - Int64(failed.reduce(0) { $0 + $1.messages.count }))))
        if let failure = failed.last { members.append(.init("failure", .string(failure.why))) }
      }
      guests[client]?.redrive = nil
    }
    return members
  }
}

extension PublishRefusal {
  /// The machine refuses for now.
  fileprivate var isForNow: Bool {
    switch self {
    case .memory, .busy, .underWay, .closed, .journal: true
    case .unroutable, .full, .route, .tooLarge, .properties: false
    }
  }
}
