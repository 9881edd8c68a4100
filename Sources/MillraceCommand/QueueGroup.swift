internal import ArgumentParser
internal import Glibc
internal import Millrace

/// The durable queues of a data directory.
struct QueueGroup: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "queue",
    abstract: "Declares durable queues, publishes to them and consumes from them.",
    discussion: """
      Examples:
        millrace queue declare dead
        millrace queue declare orders --dead-letter-queue dead --exchange shop:topic --bind 'shop:order.#'
        millrace queue publish orders 'hello'
        millrace queue list
        millrace queue consume orders --count 1
        millrace queue redrive dead --reason rejected --dry-run

      One process at a time has the queues of a directory; others ask it, by its socket, while it consumes, publishes or redrives.
      """,
    subcommands: [
      QueueListCommand.self, QueueDeclareCommand.self, QueuePublishCommand.self, QueueConsumeCommand.self, QueueRedriveCommand.self,
      QueuePurgeCommand.self,
    ])

  /// A time as the command takes it. Throws what is wrong with it.
  static func nanoseconds(_ text: String, _ option: String) throws -> UInt64 {
    do throws(DurationSyntaxError) { return try DurationText.nanoseconds(text) } catch {
      throw ValidationError("\(option) is '\(text)': \(error)")
    }
  }
}

struct QueueListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Lists the queues, and what is in them.",
    discussion: """
      Example:
        millrace queue list -o json
      """)

  @OptionGroup var data: DataOptions

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    let session = try QueueSession(data)
    defer { session.close() }
    let answer = try session.ask("queue-list", [])
    let queues = answer["queues"]?.array ?? []
    switch format {
    case .json: try Output.result(.object([.init("queues", .array(queues))]))
    case .text:
      if queues.isEmpty { return Output.note("there are no queues in \(data.directory)") }
      let rows = queues.map { queue in
        JSON.object(
          ["queue", "ready", "unacknowledged", "delayed", "bytes", "consumers", "deadLetters", "oldestSeconds"].map { name in
            .init(name, .string(queue[name]?.string ?? queue[name]?.integer.map(String.init) ?? "-"))
          })
      }
      try Output.result(ResultTables.text(.object([.init("queues", .array(rows))]), width: Output.width))
    }
  }
}

struct QueuePurgeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "purge",
    abstract: "Throws away all messages of a queue that nobody holds.",
    discussion: """
      Example:
        millrace queue purge dead --yes

      They are gone for good, and no dead letters. Without --yes a terminal is asked for the queue's name; without a terminal nothing is done.
      """)

  @Argument(help: "The queue.")
  var queue: String

  @OptionGroup var data: DataOptions

  @Flag(help: "It is meant.")
  var yes = false

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  func run() throws {
    if !yes {
      guard isatty(STDIN_FILENO) == 1, isatty(STDERR_FILENO) == 1 else {
        throw Refusal(.wrongUse, "all messages of \(queue) would be gone: give --yes")
      }
      Output.aside("all messages of \(queue) will be gone; its name, to go on: ")
      guard readLine() == queue else { throw Refusal(.wrongUse, "that is not its name: nothing was done") }
    }
    let session = try QueueSession(data)
    defer { session.close() }
    let answer = try session.ask("queue-purge", [.init("queue", .string(queue))])
    let purged = answer["purged"]?.integer ?? 0
    switch format {
    case .json: try Output.result(.object([.init("purged", .integer(purged))]))
    case .text: try Output.result("\(purged) \(purged == 1 ? "message is" : "messages are") gone from \(queue)\n")
    }
  }
}
