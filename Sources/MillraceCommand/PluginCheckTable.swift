internal import Millrace
internal import MillracePluginCheck

/// What `plugin check` found, as JSON and for people.
struct PluginCheckTable {
  let run: CheckRun
  let request: CheckRequest
  let file: String
  /// Options that the user gave besides, as words.
  let options: [String]

  private func count(_ severity: Finding.Severity) -> Int { run.findings.count { $0.severity == severity } }

  // MARK: JSON

  var json: JSON {
    .object([
      .init("file", .string(file)),
      .init("plugin", run.plugin.map { .string($0.name) } ?? .null),
      .init("version", run.plugin.map { .string($0.version) } ?? .null),
      .init("seed", .integer(Int64(clamping: request.seed))),
      .init("errors", .integer(Int64(count(.error)))),
      .init("warnings", .integer(Int64(count(.warning)))),
      .init("checks", .array(run.checks.map(json))),
      .init("findings", .array(run.findings.map(json))),
      .init("figures", .array(run.figures.map(\.json))),
    ])
  }

  private func json(_ made: (check: Check, state: CheckRun.State)) -> JSON {
    let reason: JSON = if case .skipped(let why) = made.state { .string(why) } else { .null }
    return .object([.init("check", .string(made.check.rawValue)), .init("state", .string(made.state.word)), .init("reason", reason)])
  }

  private func json(_ finding: Finding) -> JSON {
    .object([
      .init("severity", .string(finding.severity.rawValue)),
      .init("code", .string(finding.code.rawValue)),
      .init("check", .string(finding.check.rawValue)),
      .init("alsoIn", .array(finding.others.map { .string($0.rawValue) })),
      .init("handler", finding.handler.map(JSON.string) ?? .null),
      .init("what", .string(finding.what)),
      .init("fix", .string(finding.code.fix)),
      .init("input", finding.input.map(JSON.string) ?? .null),
      .init("again", .string(again(finding))),
    ])
  }

  /// The command that shows it again.
  private func again(_ finding: Finding) -> String {
    var words = ["millrace", "plugin", "check", file, "--only", finding.check.rawValue]
    if let handler = finding.handler { words += ["--handler", handler] }
    words += ["--seed", "\(request.seed)", "--calls", "\(request.calls)"] + options
    return words.map(Self.quoted).joined(separator: " ")
  }

  /// A word as a shell takes it.
  private static func quoted(_ word: String) -> String {
    let plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=:,+@%"
    guard word.isEmpty || !word.allSatisfy(plain.contains) else { return word }
    return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }

  // MARK: Text

  var text: String {
    var lines: [String] = []
    for finding in run.findings {
      let place = finding.handler.map { " \($0)" } ?? ""
      lines.append("\(finding.severity.rawValue): \(finding.code.rawValue)\(place): \(finding.what)")
      if let input = finding.input { lines.append("  input: \(input)") }
      lines.append("  do:    \(finding.code.fix)")
      lines.append("  again: \(again(finding))")
    }
    for made in run.checks {
      if case .skipped(let why) = made.state { lines.append("skipped: \(made.check.rawValue): \(why)") }
    }
    for one in run.figures {
      let allocations = one.allocations.map { ", \(Self.short($0)) allocations" } ?? ""
      lines.append("\(one.handler): a call takes \(Self.time(one.median)), p99 \(Self.time(one.p99))\(allocations) (\(one.calls) calls)")
    }
    let made = run.checks.count { $0.state == .passed || $0.state == .failed }
    lines.append(
      "\(file): \(made) checks with seed \(request.seed), \(Self.many(count(.error), "error")), \(Self.many(count(.warning), "warning"))")
    return lines.joined(separator: "\n") + "\n"
  }

  private static func many(_ count: Int, _ word: String) -> String { "\(count) \(word)\(count == 1 ? "" : "s")" }

  /// One digit behind the point.
  private static func short(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

  private static func time(_ nanoseconds: UInt64) -> String {
    switch nanoseconds {
    case ..<10_000: "\(nanoseconds) ns"
    case ..<10_000_000: "\(short(Double(nanoseconds) / 1e3)) us"
    default: "\(short(Double(nanoseconds) / 1e6)) ms"
    }
  }
}
