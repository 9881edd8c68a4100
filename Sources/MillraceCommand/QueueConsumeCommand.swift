internal import ArgumentParser
internal import Glibc
internal import Millrace

struct QueueConsumeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "consume",
    abstract: "Prints messages of a queue, and says what becomes of them.",
    discussion: """
      Examples:
        millrace queue consume orders --count 1
        millrace queue consume orders --follow -o json | jq .payload
        millrace queue consume dead --peek --count 10

      A message is acknowledged when it has been written. One that was written and not acknowledged yet comes again if the command is killed.
      Ctrl-C ends it (exit code 130), and nothing is lost.
      """)

  /// Nanoseconds for which a message is waited for, between two looks at signals and at others who ask.
  private static let wait: UInt64 = 50_000_000

  @Argument(help: "The queue.")
  var queue: String

  @OptionGroup var data: DataOptions

  @Option(help: ArgumentHelp("Messages at most. (default: all that are there; with --peek 64)", valueName: "count"))
  var count: Int?
  @Flag(help: "Go on as messages come, until a signal.")
  var follow = false
  @Flag(help: "Messages are done with: the default.")
  var ack = false
  @Flag(help: "Messages are given back where they stood, 64 at most.")
  var peek = false
  @Flag(help: "Messages become dead letters.")
  var reject = false
  @Option(
    name: .customShort("o"), help: ArgumentHelp("How messages are printed: a line of JSON each, or their payload.", valueName: "format"))
  var format: Output.Format = .text

  func validate() throws {
    if [ack, peek, reject].filter({ $0 }).count > 1 { throw ValidationError("give one of --ack, --peek and --reject") }
    if let count, count < 1 { throw ValidationError("--count is \(count): give 1 or more") }
    if peek, follow { throw ValidationError("--peek gives messages back, where --follow would find them again: give one") }
    if peek, let count, count > QueueDesk.mostTaken { throw ValidationError("--peek shows \(QueueDesk.mostTaken) messages at most") }
  }

  private var how: String { peek ? "release" : reject ? "reject" : "acknowledge" }

  func run() throws {
    let session = try QueueSession(data)
    defer { session.close() }
    Signals.watch()
    var left = count ?? (peek ? QueueDesk.mostTaken : .max)
    var settled: Int64 = 0
    loop: while left > 0, Signals.received == nil {
      session.serve()
      let answer = try session.ask(
        "queue-take", [.init("queue", .string(queue)), .init("count", .integer(Int64(min(left, QueueDesk.mostTaken))))],
        wait: follow ? Self.wait : 0)
      let messages = answer["messages"]?.array ?? []
      if messages.isEmpty {
        if !follow { break }
        if !session.isOwn { session.wait(nanoseconds: Self.wait) }
        continue
      }
      var written = 0
      var failure: Int32 = 0
      for message in messages {
        failure = write(message)
        if failure != 0 { break }
        written += 1
        // What was not written goes back.
        if Signals.received != nil { break }
      }
      let done = try session.ask("queue-settle", [.init("how", .string(how)), .init("count", .integer(Int64(written)))])
      settled += done["settled"]?.integer ?? 0
      left -= messages.count
      if failure == EPIPE { break loop }
      if failure != 0 { throw Refusal(.tryAgain, "the result cannot be written to standard output: \(Output.reason(failure))") }
      if peek { break }
    }
    let words = peek ? "shown" : reject ? "rejected" : "acknowledged"
    Output.note("\(settled) \(settled == 1 ? "message" : "messages") of \(queue) \(words)")
    if let signal = Signals.received { throw ExitCode(Signals.exit(after: signal).rawValue) }
  }

  /// 0, or an errno value.
  private func write(_ message: JSON) -> Int32 {
    switch format {
    case .json: return Output.write(message.text() + "\n", to: STDOUT_FILENO)
    case .text:
      let payload = ReceivedMessage.payload(of: message)
      if isatty(STDOUT_FILENO) == 1 {
        return Output.write(TerminalText.escaped(String(decoding: payload, as: UTF8.self)) + "\n", to: STDOUT_FILENO)
      }
      return Output.write(payload + [UInt8(ascii: "\n")], to: STDOUT_FILENO)
    }
  }
}
