internal import ArgumentParser
internal import Glibc
internal import Millrace
internal import MillraceLog

struct LogCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log",
    abstract: "Looks at a log of events on disk.",
    discussion: """
      Examples:
        millrace log verify data
        millrace log stat data
        millrace log tail data --follow
        millrace log dump data --from 1000 --limit 20
        millrace log copy data backup

      A log may be looked at while another process writes it.
      """,
    subcommands: [LogVerifyCommand.self, LogStatCommand.self, LogDumpCommand.self, LogTailCommand.self, LogCopyCommand.self])
}

/// The directory of a log, opened for reading.
struct LogOptions: ParsableArguments {
  @Argument(help: "The log's directory.", completion: .directory)
  var directory: String

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func reader() throws(Refusal) -> LogReader {
    let storage: DirectoryStorage
    do throws(StorageError) { storage = try DirectoryStorage(directory, create: false, way: .sync) } catch {
      throw Refusal(.storage(error), directory)
    }
    do throws(LogError) { return try LogReader(storage) } catch { throw Refusal(error, directory) }
  }
}

extension Refusal {
  init(_ error: LogError, _ directory: String) {
    let exit: Exit =
      switch error {
      case .storage(let error): error.code == ENOENT || error.code == ENOTDIR ? .missing : .tryAgain
      case .none: .missing
      case .configuration: .wrongUse
      case .damaged, .missingSegment, .unknownFormat, .unknownEntry, .incomplete: .badData
      }
    self.init(exit, "\(directory): \(error)")
  }

  init(_ error: EventStoreError) {
    let exit: Exit =
      switch error {
      case .invalid: .wrongUse
      case .wrongExpectedVersion, .idsPartlyKnown, .snapshotAhead: .failed
      case .damaged: .badData
      case .failed: .failed
      case .busy, .noSpace, .outcomeUnknown, .unavailable, .cancelled, .closed: .tryAgain
      }
    self.init(exit, "\(error)")
  }
}

struct LogVerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Reads a whole log and checks every byte of it.",
    discussion: """
      Example:
        millrace log verify data

      Exit code 65: something that was on stable storage is damaged; where, is told on standard error.
      """)

  @OptionGroup var options: LogOptions

  func run() throws {
    let reader = try options.reader()
    let total = reader.total
    let values: [JSON.Member] = [
      .init("events", .integer(Int64(total.events))), .init("segments", .integer(Int64(reader.segments.count))),
      .init("commits", .integer(Int64(total.blocks))), .init("firstPosition", .integer(Int64(reader.segments[0].firstPosition))),
      .init("nextPosition", .integer(Int64(reader.nextPosition))), .init("stoppedCleanly", .bool(reader.isSealed)),
      .init("unfinishedBytes", .integer(Int64(reader.unfinishedBytes))),
    ]
    if options.format == .json { return try Output.result(.object(values)) }
    try Output.result(ResultTables.text(.object(values), width: Output.width))
  }
}

struct LogStatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stat", abstract: "Shows a log's segments, streams and sizes.",
    discussion: """
      Examples:
        millrace log stat data
        millrace log stat data -o json
      """)

  @OptionGroup var options: LogOptions
  @Option(help: ArgumentHelp("Streams that are listed at most, the longest first.", valueName: "count"))
  var streams = 20

  func validate() throws {
    guard 0...1_000_000 ~= streams else { throw ValidationError("--streams is \(streams): give 0 to 1000000") }
  }

  func run() throws {
    let reader = try options.reader()
    let all = reader.streams
    let longest = all.sorted { ($1.lastVersion, $0.name.description) < ($0.lastVersion, $1.name.description) }.prefix(streams)
    let value = JSON.object([
      .init("log", .string(EventID(high: reader.log.high, low: reader.log.low).description)),
      .init("events", .integer(Int64(reader.total.events))), .init("payloadBytes", .integer(Int64(reader.total.payloadBytes))),
      .init("commits", .integer(Int64(reader.total.blocks))), .init("streams", .integer(Int64(all.count))),
      .init(
        "segments",
        .array(
          reader.segments.map {
            .object([
              .init("file", .string($0.file)), .init("firstPosition", .integer(Int64($0.firstPosition))),
              .init("events", .integer(Int64($0.endPosition - $0.firstPosition))), .init("fileBytes", .integer(Int64($0.fileBytes))),
            ])
          })),
      .init(
        "longest",
        .array(
          longest.map {
            .object([.init("stream", .string($0.name.description)), .init("events", .integer(Int64($0.lastVersion + 1)))])
          })),
    ])
    if options.format == .json { return try Output.result(value) }
    try Output.result(ResultTables.text(value, width: Output.width))
  }
}

struct LogDumpCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dump", abstract: "Prints a log's events, one on each line.",
    discussion: """
      Examples:
        millrace log dump data
        millrace log dump data --from 1000 --limit 20 -o json
      """)

  @OptionGroup var options: LogOptions
  @Option(help: ArgumentHelp("The first position.", valueName: "position"))
  var from: UInt64 = 0
  @Option(help: ArgumentHelp("Events at most.", valueName: "count"))
  var limit: Int?

  func validate() throws {
    if let limit, limit < 1 { throw ValidationError("--limit is \(limit): give 1 or more") }
  }

  func run() throws {
    let reader = try options.reader()
    _ = try EventLines(format: options.format).print(reader, ReadRequest(.all, from: .at(from)), limit: limit ?? .max)
  }
}

struct LogTailCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tail", abstract: "Prints a log's last events, and those to come.",
    discussion: """
      Examples:
        millrace log tail data
        millrace log tail data --last 100 --follow
      """)

  @OptionGroup var options: LogOptions
  @Option(help: ArgumentHelp("How many events are printed first.", valueName: "count"))
  var last: UInt64 = 10
  @Flag(help: "Go on with what is appended, until a signal.")
  var follow = false

  func run() throws {
    let reader = try options.reader()
    let lines = EventLines(format: options.format)
    let start = max(reader.segments[0].firstPosition, reader.nextPosition - min(last, reader.nextPosition))
    let next = try lines.print(reader, ReadRequest(.all, from: .at(start)), limit: .max)
    if follow { try lines.follow(reader, .all, from: next, directory: options.directory) }
  }
}

struct LogCopyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "copy", abstract: "Copies a log: a backup, or back from one.",
    discussion: """
      Examples:
        millrace log copy data backup
        millrace log copy backup data

      A log may be copied while another process writes it: the copy is as the log was when the command began. It is checked before the command ends; one that was
      not finished is never opened.
      """)

  @OptionGroup var options: LogOptions
  @Argument(help: "A directory that is empty or not there.", completion: .directory)
  var target: String

  func run() throws {
    let reader = try options.reader()
    let storage: DirectoryStorage
    do throws(StorageError) { storage = try DirectoryStorage(target, way: .sync) } catch { throw Refusal(.storage(error), target) }
    let total: LogReader.Counts
    do throws(LogError) { total = try LogCopy.copy(reader, to: storage) } catch { throw Refusal(error, target) }
    let values: [JSON.Member] = [
      .init("events", .integer(Int64(total.events))), .init("segments", .integer(Int64(reader.segments.count))),
      .init("nextPosition", .integer(Int64(reader.nextPosition))),
    ]
    if options.format == .json { return try Output.result(.object(values)) }
    try Output.result(ResultTables.text(.object(values), width: Output.width))
  }
}
