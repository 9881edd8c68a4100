internal import ArgumentParser
internal import Glibc
internal import Millrace
internal import MillraceWorkflow

struct QueuePublishCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "publish",
    abstract: "Publishes messages, and tells how many were taken and are on stable storage.",
    discussion: """
      Examples:
        millrace queue publish orders 'hello'
        millrace queue publish orders --file order.json --content-type application/json --id order-17
        millrace queue publish --exchange shop --key order.made 'hello'
        tail -f orders.jsonl | millrace queue publish orders

      Without a body and --file each line of standard input is a message. Exit code 1: a message was refused, and none after it was published.
      """)

  /// Bytes of a line or a file, at most.
  static let longest = 16 << 20
  /// Lines, and bytes of them, that are waited for together.
  static let mostLines = 256
  private static let mostBytes = 1 << 20
  /// What fits into a line of the socket.
  private static let mostOfLine = 40 << 10

  @Argument(help: "The queue; with --exchange the body comes here.")
  var first: String?
  @Argument(help: "The payload; without it, and without --file, standard input, a message a line.")
  var second: String?

  @OptionGroup var data: DataOptions

  @Option(help: ArgumentHelp("A file that is the payload of one message, - for standard input.", valueName: "path"), completion: .file())
  var file: String?
  @Option(help: ArgumentHelp("Publish to an exchange instead of a queue.", valueName: "name"))
  var exchange: String?
  @Option(help: ArgumentHelp("By which the exchange chooses.", valueName: "text"))
  var key: String?
  @Option(help: "0 the lowest. (default: 1)")
  var priority: Int?
  @Option(help: ArgumentHelp("After which nobody wants it any more.", valueName: "time"))
  var ttl: String?
  @Option(help: ArgumentHelp("Before which nobody gets it.", valueName: "time"))
  var delay: String?
  @Option(
    name: .customLong("header"), help: ArgumentHelp("A header, as JSON or text. May be repeated.", valueName: "name=value"),
    transform: Assignment.parse)
  var headers: [Assignment] = []
  @Option(help: ArgumentHelp("The message's id; of one message only.", valueName: "text"))
  var id: String?
  @Option(help: ArgumentHelp("What it answers, or what its answer is to name.", valueName: "text"))
  var correlationID: String?
  @Option(help: ArgumentHelp("The queue that an answer is wanted in.", valueName: "queue"))
  var replyTo: String?
  @Option(help: ArgumentHelp("What kind of bytes the payload is.", valueName: "type"))
  var contentType: String?
  @Option(help: ArgumentHelp("What kind of message it is.", valueName: "text"))
  var type: String?
  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  private var queue: String? { exchange == nil ? first : nil }
  private var body: String? { exchange == nil ? second : first }

  func validate() throws {
    if exchange == nil, first == nil { throw ValidationError("give a queue, or --exchange and --key") }
    if exchange == nil, key != nil { throw ValidationError("--key needs --exchange: a queue is reached by its name") }
    if exchange != nil, second != nil { throw ValidationError("with --exchange there is one argument, the payload") }
    if body != nil, file != nil { throw ValidationError("give a payload or --file, not both") }
    if id != nil, body == nil, file == nil { throw ValidationError("--id is one message's: give a payload or --file") }
    if let priority, !(0...255 ~= priority) { throw ValidationError("--priority is \(priority): give 0 to 255") }
    _ = try Assignment.table(headers, option: "--header", \.value)
    _ = try properties()
  }

  private func properties() throws -> [JSON.Member] {
    var members: [JSON.Member] = [.init("key", .string(key ?? queue ?? ""))]
    for (name, text) in [
      ("exchange", exchange), ("id", id), ("correlationID", correlationID), ("replyTo", replyTo), ("contentType", contentType),
      ("type", type),
    ] { if let text { members.append(.init(name, .string(text))) } }
    if let priority { members.append(.init("priority", .integer(Int64(priority)))) }
    if let ttl { members.append(.init("ttl", .integer(Int64(clamping: try QueueGroup.nanoseconds(ttl, "--ttl"))))) }
    if let delay { members.append(.init("delay", .integer(Int64(clamping: try QueueGroup.nanoseconds(delay, "--delay"))))) }
    if !headers.isEmpty { members.append(.init("headers", .object(headers.map { .init($0.name, $0.json) }))) }
    return members
  }

  func run() throws {
    let properties = try properties()
    let session = try QueueSession(data)
    defer { session.close() }
    Signals.watch()
    var told = Told()
    if let body {
      try publish([Array(body.utf8)], properties, session, &told)
    } else if let file {
      try publish([try Self.read(file)], properties, session, &told)
    } else {
      try publishLines(properties, session, &told)
    }
    switch format {
    case .json: try Output.result(told.json)
    case .text: try Output.result("\(told.accepted) accepted, \(told.confirmed) on stable storage\n")
    }
    if let refusal = told.refusal { throw Refusal(told.isForNow ? .tryAgain : .failed, "the next message was refused: \(refusal)") }
    if let signal = Signals.received { throw ExitCode(Signals.exit(after: signal).rawValue) }
  }

  /// What has become of all.
  private struct Told {
    var accepted: Int64 = 0
    var confirmed: Int64 = 0
    var refusal: String?
    var isForNow = false

    var json: JSON {
      .object([
        .init("accepted", .integer(accepted)), .init("confirmed", .integer(confirmed)), .init("refusal", refusal.map(JSON.string) ?? .null),
      ])
    }
  }

  private func publish(_ bodies: [[UInt8]], _ properties: [JSON.Member], _ session: QueueSession, _ told: inout Told) throws(Refusal) {
    let list = bodies.map { body in
      String(validating: body, as: UTF8.self).map(JSON.string) ?? .object([.init("base64", .string(Base64.text(body)))])
    }
    let answer = try session.ask("queue-publish", properties + [.init("bodies", .array(list))])
    told.accepted += answer["accepted"]?.integer ?? 0
    told.confirmed += answer["confirmed"]?.integer ?? 0
    told.refusal = answer["refusal"]?.string
    told.isForNow = answer["again"] == true
  }

  // MARK: Input

  /// Lines as they come: what is there is published, and on stable storage, before more is read.
  private func publishLines(_ properties: [JSON.Member], _ session: QueueSession, _ told: inout Told) throws {
    var rest: [UInt8] = []
    var lines: [[UInt8]] = []
    var bytes = 0
    let most = session.isOwn ? Self.mostBytes : Self.mostOfLine
    func flush() throws(Refusal) {
      if lines.isEmpty { return }
      try publish(lines, properties, session, &told)
      (lines, bytes) = ([], 0)
    }
    func add(_ line: [UInt8]) throws(Refusal) {
      if lines.count == Self.mostLines || bytes + line.count > most { try flush() }
      lines.append(line)
      bytes += line.count
    }
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while told.refusal == nil, Signals.received == nil {
      session.serve()
      var look = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
      // unsafe: read and written during the call. A signal ends it early.
      if unsafe poll(&look, 1, 50) <= 0 { continue }
      // unsafe: at most as many bytes as the buffer has.
      let got = unsafe Glibc.read(STDIN_FILENO, &buffer, buffer.count)
      if got < 0, errno == EINTR || errno == EAGAIN { continue }
      guard got >= 0 else { throw Refusal(.tryAgain, "standard input: \(Output.reason(errno))") }
      if got == 0 { break }
      var start = 0
      while told.refusal == nil, let end = buffer[start..<got].firstIndex(of: UInt8(ascii: "\n")) {
        try add(rest + buffer[start..<end])
        rest = []
        start = end + 1
      }
      rest += buffer[start..<got]
      if rest.count > Self.longest { throw Refusal(.wrongUse, "a line of standard input has more than \(Self.longest) bytes: give --file") }
      if told.refusal == nil { try flush() }
    }
    // A last line needs no end.
    if told.refusal == nil, !rest.isEmpty, Signals.received == nil { try publish([rest], properties, session, &told) }
  }

  private static func read(_ path: String) throws(Refusal) -> [UInt8] {
    let descriptor = path == "-" ? STDIN_FILENO : unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Refusal(.missing, "\(path): \(Output.reason(errno))") }
    defer { if descriptor != STDIN_FILENO { Glibc.close(descriptor) } }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      // unsafe: at most as many bytes as the buffer has.
      let got = unsafe Glibc.read(descriptor, &buffer, buffer.count)
      if got < 0, errno == EINTR { continue }
      guard got >= 0 else { throw Refusal(.tryAgain, "\(path): \(Output.reason(errno))") }
      if got == 0 { return bytes }
      bytes += buffer[..<got]
      guard bytes.count <= longest else {
        throw Refusal(.wrongUse, "\(path): a message has at most \(longest) bytes: publish the file's name")
      }
    }
  }
}
