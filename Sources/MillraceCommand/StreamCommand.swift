internal import ArgumentParser
internal import Glibc
internal import Millrace
internal import MillraceCore
internal import MillraceLog

struct StreamCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stream",
    abstract: "Appends to and reads from the streams of a log.",
    discussion: """
      Examples:
        millrace stream append data order-17 --type order-placed --data '{"total":12}'
        millrace stream read data order-17
        millrace stream subscribe data --category order
      """,
    subcommands: [StreamAppendCommand.self, StreamReadCommand.self, StreamSubscribeCommand.self])
}

struct StreamAppendCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "append", abstract: "Appends an event to a stream, and tells where it stands, once it is on stable storage.",
    discussion: """
      Examples:
        millrace stream append data order-17 --type order-placed --data '{"total":12}'
        millrace stream append data order-17 --type order-paid --expected 0 --file payment.json

      The log is made if there is none. The same --id again changes nothing, and tells where the event stands.
      Exit code 1: the stream is not as --expected says.
      """)

  @Argument(help: "The log's directory.", completion: .directory)
  var directory: String
  @Argument(help: "The stream.")
  var stream: String
  @Option(help: "What has happened.")
  var type: String
  @Option(help: ArgumentHelp("The payload; JSON unless --content-type says otherwise.", valueName: "text"))
  var data: String?
  @Option(help: ArgumentHelp("A file with the payload, - for standard input.", valueName: "path"), completion: .file())
  var file: String?
  @Option(help: ArgumentHelp("The event's id, a UUID; a new one if it is left out.", valueName: "uuid"))
  var id: String?
  @Option(help: ArgumentHelp("any, none, exists, or the version of the stream's last event.", valueName: "version"))
  var expected = "any"
  @Option(name: .customLong("content-type"), help: ArgumentHelp("What kind of bytes the payload is.", valueName: "type"))
  var contentType = EventDraft.json
  @Option(help: "The tenant whom the event belongs to.")
  var tenant: String?
  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func validate() throws {
    if data != nil, file != nil { throw ValidationError("give --data or --file, not both") }
    if let id, EventID(id) == nil { throw ValidationError("--id is '\(id)': give a UUID, such as 01234567-89ab-cdef-0123-456789abcdef") }
    if expectedVersion == nil { throw ValidationError("--expected is '\(expected)': give any, none, exists, or a version from 0") }
  }

  private var expectedVersion: ExpectedVersion? {
    switch expected {
    case "any": .any
    case "none": .noStream
    case "exists": .streamExists
    default: UInt64(expected).map { .exact($0) }
    }
  }

  func run() throws {
    let payload = try payload()
    if contentType == EventDraft.json {
      do throws(JSONSyntaxError) { _ = try JSON(parsing: String(decoding: payload, as: UTF8.self)) } catch {
        throw Refusal(.badData, "the payload is no JSON: \(error); give --content-type for other bytes")
      }
    }
    var random = SystemRandomNumberGenerator()
    let own = EventID(high: random.next(), low: random.next())
    let draft = EventDraft(id: id.flatMap { EventID($0) } ?? own, type: type, contentType: contentType, payload: payload)
    let receipt = try append(draft)
    let place = receipt.streams[0]
    if format == .json {
      return try Output.result(
        .object([
          .init("position", .integer(Int64(place.firstPosition))), .init("version", .integer(Int64(place.firstVersion))),
          .init("id", .string(draft.id.description)), .init("wasKnown", .bool(receipt.wasKnown)),
        ]))
    }
    try Output.result(
      "\(stream)@\(place.firstVersion), position \(place.firstPosition)\(receipt.wasKnown ? ": it was there already" : "")\n")
  }

  private func append(_ draft: EventDraft) throws(Refusal) -> AppendReceipt {
    let name: StreamName
    do throws(EventStoreError) { name = try StreamName(stream) } catch { throw Refusal(error) }
    let append = StreamAppend(stream: name, expected: expectedVersion ?? .any, tenant: tenant, events: [draft])
    let log = try open()
    defer { log.close() }
    do throws(EventStoreError) { return try Waiting.result { log.append([append], completion: $0) } } catch { throw Refusal(error) }
  }

  private func open() throws(Refusal) -> EventLog {
    let storage: DirectoryStorage
    do throws(StorageError) { storage = try DirectoryStorage(directory) } catch { throw Refusal(.storage(error), directory) }
    do throws(LogError) { return try EventLog(storage) } catch { throw Refusal(error, directory) }
  }

  private func payload() throws(Refusal) -> [UInt8] {
    if let data { return Array(data.utf8) }
    let path = file ?? "-"
    let descriptor = path == "-" ? STDIN_FILENO : unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Refusal(.missing, "\(path): \(Output.reason(errno))") }
    defer { if descriptor != STDIN_FILENO { close(descriptor) } }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      // Safe: at most as many bytes as the buffer has.
      let got = unsafe read(descriptor, &buffer, buffer.count)
      if got < 0, errno == EINTR { continue }
      guard got >= 0 else { throw Refusal(.tryAgain, "\(path): \(Output.reason(errno))") }
      if got == 0 { return bytes }
      bytes += buffer[..<got]
      guard bytes.count <= EventLimits.payload else {
        throw Refusal(.wrongUse, "\(path): a payload has at most \(EventLimits.payload) bytes: keep the file elsewhere and append its name")
      }
    }
  }
}

/// Waits for a completion.
enum Waiting {
  static func result<Value: Sendable>(_ call: (@escaping EventCompletion<Value>) -> Void) throws(EventStoreError) -> Value {
    let gate = Gate<Value>()
    call { gate.open($0) }
    return try gate.pass().get()
  }

  private final class Gate<Value: Sendable>: @unchecked Sendable {
    private let monitor = Monitor()
    private var result: Result<Value, EventStoreError>?
    deinit { monitor.deallocate() }

    func open(_ result: Result<Value, EventStoreError>) {
      monitor.locked {
        self.result = result
        monitor.signal(.work)
      }
    }
    func pass() -> Result<Value, EventStoreError> {
      monitor.locked {
        while true {
          if let result { return result }
          monitor.wait(.work)
        }
      }
    }
  }
}

/// Which events are meant.
struct ScopeOptions: ParsableArguments {
  @OptionGroup var log: LogOptions
  @Argument(help: "The stream; without it, and without --category, all events.")
  var stream: String?
  @Option(help: "All streams of this category: what stands before the first '-' of their names.")
  var category: String?
  @Option(help: "Only this tenant's events.")
  var tenant: String?

  func validate() throws {
    if stream != nil, category != nil { throw ValidationError("give a stream or --category, not both") }
  }

  func scope() throws(Refusal) -> ReadRequest.Scope {
    if let category { return .category(category) }
    guard let stream else { return .all }
    do throws(EventStoreError) { return .stream(try StreamName(stream)) } catch { throw Refusal(error) }
  }
}

struct StreamReadCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "read", abstract: "Prints events of a stream, a category, or all.",
    discussion: """
      Examples:
        millrace stream read data order-17
        millrace stream read data --category order --from 1000 --limit 20 -o json
        millrace stream read data order-17 --backward --limit 1
      """)

  @OptionGroup var options: ScopeOptions
  @Option(help: ArgumentHelp("Where to begin: a version of the stream, a position otherwise.", valueName: "number"))
  var from: UInt64?
  @Flag(help: "From the newest to the oldest.")
  var backward = false
  @Option(help: ArgumentHelp("Events at most.", valueName: "count"))
  var limit: Int?

  func validate() throws {
    if let limit, limit < 1 { throw ValidationError("--limit is \(limit): give 1 or more") }
  }

  func run() throws {
    let request = ReadRequest(
      try options.scope(), backward ? .backward : .forward, from: from.map { .at($0) } ?? .edge, tenant: options.tenant)
    _ = try EventLines(format: options.log.format).print(try options.log.reader(), request, limit: limit ?? .max)
  }
}

struct StreamSubscribeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "subscribe", abstract: "Prints events as they are appended, until a signal.",
    discussion: """
      Examples:
        millrace stream subscribe data order-17
        millrace stream subscribe data --category order --from 0 -o json
      """)

  @OptionGroup var options: ScopeOptions
  @Option(help: ArgumentHelp("Where to begin: a version or a position; the end if it is left out.", valueName: "number"))
  var from: UInt64?

  func run() throws {
    let reader = try options.log.reader()
    let lines = EventLines(format: options.log.format)
    let scope = try options.scope()
    let next: UInt64
    if let from {
      next = try lines.print(reader, ReadRequest(scope, from: .at(from)), limit: .max)
    } else if case .stream(let name) = scope {
      next = reader.streams.first { $0.name == name }.map { $0.lastVersion + 1 } ?? 0
    } else {
      next = reader.nextPosition
    }
    try lines.follow(reader, scope, from: next, directory: options.log.directory)
  }
}
