internal import ArgumentParser
internal import Glibc
internal import Millrace
internal import MillracePluginCheck
internal import MillracePlugins

extension Check: ExpressibleByArgument {}

struct PluginCheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Looks for faults of a plugin: each check in a process of its own.",
    discussion: """
      Examples:
        millrace plugin check build/libmine.so
        millrace plugin check build/libmine.so --only fuzz --seed 7 --calls 100000
        millrace plugin check build/libmine.so --input example.json -o json

      The handlers are called, with inputs that are made by their schemas and with garbage: what they do in the world,
      they do. They work in an empty directory of their own, with the rights of whoever starts this.
      Exit code 0: no errors, perhaps warnings. 1: errors. 64: wrong use. 65: the file is no plugin.
      """)

  @Argument(help: "The plugin's file.", completion: .file(extensions: ["so"]))
  var file: String

  @Option(help: ArgumentHelp("Makes only this check. May be repeated.", valueName: "check"))
  var only: [Check] = []

  @Option(help: ArgumentHelp("Leaves this check out. May be repeated.", valueName: "check"))
  var skip: [Check] = []

  @Option(help: ArgumentHelp("Calls only this handler, `plugin/handler`. May be repeated.", valueName: "handler"))
  var handler: [String] = []

  @Option(help: "Seed of all that is made up; a drawn one by default, which is told.")
  var seed: UInt64?

  @Option(help: ArgumentHelp("Calls of a handler where many are made.", valueName: "count"))
  var calls = 1_000

  @Option(
    help: ArgumentHelp(
      "A file with an input that the handlers can work with; before those that are made. May be repeated.", valueName: "file"),
    completion: .file())
  var input: [String] = []

  @Option(help: ArgumentHelp("Seconds before a call is cancelled, and as long again before it is given up.", valueName: "seconds"))
  var patience = 5.0

  @Option(help: ArgumentHelp("Seconds of one check.", valueName: "seconds"))
  var timeout = 120.0

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp("A setting of the plugin, such as replay.mode=wait. May be repeated.", valueName: "name=value"),
    transform: Assignment.parse)
  var settings: [Assignment] = []

  @Option(name: .customShort("o"), help: ArgumentHelp("How the result is printed.", valueName: "format"))
  var format: Output.Format = .text

  /// Handlers that are not called: what they do wrong is known.
  @Option(help: .hidden)
  var without: [String] = []

  /// The one check is made here; what is found goes to descriptor 3.
  @Flag(help: .hidden)
  var inChild = false

  private static let inputLimit = 16 << 20

  func validate() throws {
    guard (1...CheckRequest.mostCalls).contains(calls) else {
      throw ValidationError("--calls is \(calls): write 1 to \(CheckRequest.mostCalls)")
    }
    for (name, value) in [("--patience", patience), ("--timeout", timeout)] where !(0.01...86_400).contains(value) {
      throw ValidationError("\(name) is \(value): write seconds, 0.01 to 86400")
    }
  }

  func run() throws {
    let seed = seed ?? UInt64.random(in: 0..<1_000_000)
    var request = CheckRequest(
      path: file, seed: seed, calls: calls, patience: UInt64(patience * 1e9),
      settings: try Assignment.table(settings, option: "--set") { $0.value }, inputs: try input.map(read), handlers: Set(handler))
    request.without = Set(without)
    if inChild {
      guard let check = only.first else { throw ValidationError("--in-child is of no use without --only") }
      CheckRoom(request, descriptor: 3, probe: Allocator.check).make(check)
      // Nothing of the plugin's is to run any more.
      _exit(0)
    }
    // What a file must be is found out without running any of it.
    do throws(PluginError) {
      _ = try PluginManifest(ofFile: file)
    } catch {
      if error.isNoPlugin { throw Refusal(.badData, "\(error)") }
    }
    request.path = try real(file)
    let folder = try Scratch()
    var run = CheckRun(
      request, program: try real("/proc/self/exe"), folder: folder.path, limit: UInt64(timeout * 1e9), arguments: arguments)
    let wanted = (only.isEmpty ? Check.allCases : Check.allCases.filter { only.contains($0) || $0 == .entry }).filter {
      !skip.contains($0) || $0 == .entry
    }
    do throws(CheckStartError) {
      try run.make(wanted) { _ in }
    } catch {
      throw Refusal(.tryAgain, "\(error)")
    }
    if let handlers = run.plugin?.handlers, let missing = handler.first(where: { !handlers.contains($0) }) {
      throw Refusal(.wrongUse, "--handler \(missing): the plugin has \(handlers.joined(separator: ", "))")
    }
    let table = PluginCheckTable(
      run: run, request: request, file: file,
      options: settings.flatMap { ["--set", "\($0.name)=\($0.value)"] } + input.flatMap { ["--input", $0] })
    switch format {
    case .json: try Output.result(table.json)
    case .text: try Output.result(table.text)
    }
    if run.findings.contains(where: { $0.severity == .error }) { throw ExitCode(Exit.failed.rawValue) }
  }

  /// Of the process that makes one check.
  private func arguments(_ request: CheckRequest, _ check: Check) -> [String] {
    var words = [
      "plugin", "check", request.path, "--in-child", "--only", check.rawValue, "--seed", "\(request.seed)", "--calls", "\(calls)",
    ]
    words += ["--patience", "\(patience)"]
    words += settings.flatMap { ["--set", "\($0.name)=\($0.value)"] }
    words += input.flatMap { ["--input", $0.hasPrefix("/") ? $0 : FilePath.here + "/" + $0] }
    words += request.handlers.sorted().flatMap { ["--handler", $0] }
    return words + request.without.sorted().flatMap { ["--without", $0] }
  }

  private func real(_ path: String) throws(Refusal) -> String {
    // Freed below; the path ends with a NUL.
    guard let text = unsafe realpath(path, nil) else { throw Refusal(.badData, "\(path): \(Output.reason(errno))") }
    defer { unsafe free(text) }
    return unsafe String(cString: text)
  }

  private func read(_ path: String) throws(Refusal) -> [UInt8] {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Refusal(.badData, "--input \(path): \(Output.reason(errno))") }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: Self.inputLimit + 1)
    var count = 0
    while count < bytes.count {
      // The buffer outlives the call.
      let more = unsafe bytes.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress! + count, $0.count - count) }
      if more < 0, errno == EINTR { continue }
      guard more >= 0 else { throw Refusal(.badData, "--input \(path): \(Output.reason(errno))") }
      if more == 0 { break }
      count += more
    }
    guard count <= Self.inputLimit else { throw Refusal(.badData, "--input \(path): it has more than \(Self.inputLimit) bytes") }
    return Array(bytes[..<count])
  }
}

/// Paths of this process.
enum FilePath {
  /// The working directory; "." where it has none.
  static var here: String {
    guard let text = unsafe getcwd(nil, 0) else { return "." }
    // The buffer is ours.
    defer { unsafe free(text) }
    return unsafe String(cString: text)
  }
}

extension PluginError {
  /// The file is none that could be a plugin, or may not be read. All else is a fault of a plugin.
  fileprivate var isNoPlugin: Bool {
    switch self {
    case .missing, .unreadable, .tooLarge, .tooManyPlugins, .writableByOthers, .foreignOwner, .notELF, .notSharedObject, .truncated,
      .damaged,
      .wrongArchitecture, .noPrivateCopy:
      true
    default: false
    }
  }
}
