internal import MillracePlugins
internal import MillraceWorkflow

/// Where a plugin's code runs, with its bounds, as a command line says it: `process,memory=256M,grace=1s`.
struct IsolationText {
  /// What is wrong with one.
  struct Fault: Error {
    let message: String
  }

  /// A bound by its name, as the members of `IsolationBounds` are called.
  private static let bounds: [(name: String, set: @Sendable (inout IsolationBounds, String) throws -> Void)] = [
    ("processes", { $0.processes = try number($1) }), ("slots", { $0.slots = try number($1) }),
    ("memory", { $0.memory = try bytes($1) }), ("attempt-bytes", { $0.attemptBytes = try bytes($1) }),
    ("descriptors", { $0.descriptors = try number($1) }), ("helpers", { $0.helpers = try number($1) }),
    ("wait", { $0.wait = try wait($1) }), ("start", { $0.start = try time($1) }), ("grace", { $0.grace = try time($1) }),
    ("stop", { $0.stop = try time($1) }), ("first-wait", { $0.firstWait = try time($1) }),
    ("longest-wait", { $0.longestWait = try time($1) }), ("crashes", { $0.crashes = try number($1) }),
    ("window", { $0.window = try time($1) }), ("lines-per-second", { $0.linesPerSecond = try number($1) }),
    ("library", { $0.libraries.append($1) }),
  ]

  /// `text`: `in-process`, `process` or `untrusted`, and for the last two bounds behind commas. Throws `Fault`. Which values a bound may have is looked at where the plugin
  /// is loaded.
  static func isolation(_ text: String) throws(Fault) -> PluginIsolation {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    guard let how = PluginIsolation(named: parts[0]) else {
      throw Fault(message: "'\(parts[0])' is none of process, untrusted and in-process")
    }
    if parts.count == 1 { return how }
    if how == .inProcess { throw Fault(message: "in-process has no bounds") }
    var result = IsolationBounds()
    var seen: Set<String> = []
    for part in parts.dropFirst() {
      let (name, value) = halves(part)
      guard let bound = bounds.first(where: { $0.name == name }) else {
        throw Fault(message: "'\(name)' is no bound: they are \(bounds.map(\.name).joined(separator: ", "))")
      }
      guard let value, !value.isEmpty else { throw Fault(message: "\(name) has no value: write \(name)=...") }
      guard seen.insert(name).inserted || name == "library" else { throw Fault(message: "\(name) is given twice") }
      do { try bound.set(&result, value) } catch { throw Fault(message: "\(name): \((error as? Fault)?.message ?? "\(error)")") }
    }
    return how.name == PluginIsolation.untrusted().name ? .untrusted(result) : .process(result)
  }

  /// What stands before and behind the first `=`.
  static func halves(_ text: String) -> (name: String, value: String?) {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    return (parts[0], parts.count == 2 ? parts[1] : nil)
  }

  private static func number(_ text: String) throws -> Int {
    guard let number = Int(text), text.allSatisfy(\.isNumber) else { throw Fault(message: "'\(text)' is no whole number") }
    return number
  }

  /// `262144`, `256K`, `64M` or `1G`, of 1,024.
  private static func bytes(_ text: String) throws -> Int {
    let units: [Character: Int] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
    let unit = text.last.flatMap { units[$0] }
    let (bytes, overflow) = try number(unit == nil ? text : String(text.dropLast())).multipliedReportingOverflow(by: unit ?? 1)
    if overflow { throw Fault(message: "'\(text)' is too much") }
    return bytes
  }

  private static func time(_ text: String) throws -> UInt64 {
    do { return try DurationText.nanoseconds(text) } catch { throw Fault(message: "\(error.message): \(error.fix)") }
  }

  private static func wait(_ text: String) throws -> IsolationBounds.Wait {
    guard let wait = IsolationBounds.Wait(rawValue: text) else {
      throw Fault(message: "'\(text)' is none of \(IsolationBounds.Wait.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return wait
  }
}
