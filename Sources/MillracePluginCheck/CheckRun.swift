internal import Glibc

/// All checks of a plugin, each in a process of its own, and what they found.
package struct CheckRun {
  package enum State: Sendable, Equatable {
    case passed, failed
    /// Why it was not made.
    case skipped(String)

    package var word: String {
      switch self {
      case .passed: "passed"
      case .failed: "failed"
      case .skipped: "skipped"
      }
    }
  }

  /// The plugin's own words; nil: it could not be loaded.
  package private(set) var plugin: (name: String, version: String, handlers: [String])?
  package private(set) var checks: [(check: Check, state: State)] = []
  package private(set) var findings: [Finding] = []
  package private(set) var figures: [CallFigures] = []

  private var request: CheckRequest
  private let program: String
  private let arguments: (CheckRequest, Check) -> [String]
  private let folder: String
  private let limit: UInt64

  /// - Parameters:
  ///   - program: what makes one check when it is started with `arguments`: it calls ``CheckRoom/make(_:)`` with descriptor 3.
  ///   - folder: where those processes work; what they leave there is the caller's.
  ///   - limit: nanoseconds of one check.
  package init(
    _ request: CheckRequest, program: String, folder: String, limit: UInt64, arguments: @escaping (CheckRequest, Check) -> [String]
  ) {
    (self.request, self.program, self.folder, self.limit, self.arguments) = (request, program, folder, limit, arguments)
  }

  /// Makes these checks in their order. `told`: before each one.
  package mutating func make(_ wanted: [Check], told: (Check) -> Void) throws(CheckStartError) {
    var isLoaded = true
    for check in wanted {
      guard isLoaded || check == .versions else {
        checks.append((check, .skipped("the plugin cannot be loaded")))
        continue
      }
      if check.calls, let handlers = plugin?.handlers, !handlers.contains(where: request.takes) {
        checks.append((check, .skipped("no handler is left whose calls end")))
        continue
      }
      told(check)
      let process = try CheckProcess.run(program, arguments(request, check), in: folder, limit: limit)
      let isGood = take(check, process)
      checks.append((check, isGood ? .passed : .failed))
      if check == .entry, plugin == nil { isLoaded = false }
    }
  }

  /// Whether there was no error.
  private mutating func take(_ check: Check, _ process: CheckProcess) -> Bool {
    var last: (what: String, handler: String?, input: String?) = ("the start of the process", nil, nil)
    var memory: (FindingCode, String)?
    var isOver = false
    var isGood = true
    for line in process.lines {
      switch line {
      case .at(let what, let handler, let input): last = (what, handler, input)
      case .found(let code, let handler, let what, let input):
        add(Finding(check: check, code: code, handler: handler, what: what, input: input), &isGood)
      case .memory(let code, let text): memory = (code, text)
      case .figures(let one): figures.append(one)
      case .plugin(let name, let version, let handlers): plugin = (name, version, handlers)
      case .end: isOver = true
      }
    }
    let ended: (code: FindingCode, what: String)?
    switch process.ending {
    case .exited(0) where isOver: ended = nil
    case .exited(let code): ended = (.exit, "the process was ended with exit code \(code) in \(last.what)")
    case .signalled(let signal):
      let name = Self.name(signal)
      ended =
        memory.map { ($0.0, "\($0.1): ended by \(name) in \(last.what)") } ?? (.crash, "ended by \(name) in \(last.what)" + words(process))
    case .late: ended = (.hang, "\(last.what) was not over after \(Double(limit) / 1e9) s")
    }
    // Of one that goes on after all was done, nothing is known.
    if let ended { add(Finding(check: check, code: ended.code, handler: last.handler, what: ended.what, input: last.input), &isGood) }
    return isGood
  }

  private func words(_ process: CheckProcess) -> String {
    let said = process.said.split(whereSeparator: \.isNewline).last.map(String.init) ?? ""
    return said.isEmpty ? "; it wrote nothing" : "; its last words: \(said)"
  }

  private mutating func add(_ finding: Finding, _ isGood: inout Bool) {
    if finding.severity == .error { isGood = false }
    // Calls that do not end would do so in every check.
    if let handler = finding.handler, [.hang, .neverCompletes].contains(finding.code) { request.without.insert(handler) }
    if let known = findings.firstIndex(where: { $0.code == finding.code && (finding.handler == nil || $0.handler == finding.handler) }) {
      if findings[known].check != finding.check, !findings[known].others.contains(finding.check) {
        findings[known].others.append(finding.check)
      }
    } else {
      findings.append(finding)
    }
  }

  private static func name(_ signal: Int32) -> String {
    switch signal {
    case SIGSEGV: "SIGSEGV"
    case SIGBUS: "SIGBUS"
    case SIGABRT: "SIGABRT"
    case SIGFPE: "SIGFPE"
    case SIGILL: "SIGILL"
    case SIGTRAP: "SIGTRAP"
    case SIGKILL: "SIGKILL"
    case SIGTERM: "SIGTERM"
    case SIGPIPE: "SIGPIPE"
    case SIGSYS: "SIGSYS"
    default: "signal \(signal)"
    }
  }
}
