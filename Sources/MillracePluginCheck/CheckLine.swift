internal import Glibc
package import MillraceWorkflow

/// What a process that checks tells the one that asked: a line of JSON each.
enum CheckLine {
  /// What is about to be done: if nothing follows, it was done in that.
  case at(what: String, handler: String?, input: String?)
  case found(code: FindingCode, handler: String?, what: String, input: String?)
  /// How memory failed: the last line but for the signal.
  case memory(code: FindingCode, text: String)
  case figures(CallFigures)
  case plugin(name: String, version: String, handlers: [String])
  case end

  var json: JSON {
    func text(_ value: String?) -> JSON { value.map(JSON.string) ?? .null }
    return switch self {
    case .at(let what, let handler, let input): ["at": .string(what), "handler": text(handler), "input": text(input)]
    case .found(let code, let handler, let what, let input):
      ["found": .string(code.rawValue), "handler": text(handler), "what": .string(what), "input": text(input)]
    case .memory(let code, let words): ["memory": .string(code.rawValue), "text": .string(words)]
    case .figures(let figures): ["figures": figures.json]
    case .plugin(let name, let version, let handlers):
      ["plugin": .string(name), "version": .string(version), "handlers": .array(handlers.map(JSON.string))]
    case .end: ["end": true]
    }
  }

  /// nil: it is none of ours. A plugin may write to any descriptor.
  init?(_ line: [UInt8]) {
    let json: JSON
    do throws(JSONSyntaxError) { json = try JSON(parsing: line) } catch { return nil }
    if let what = json["at"]?.string {
      self = .at(what: what, handler: json["handler"]?.string, input: json["input"]?.string)
    } else if let code = json["found"]?.string.flatMap(FindingCode.init), let what = json["what"]?.string {
      self = .found(code: code, handler: json["handler"]?.string, what: what, input: json["input"]?.string)
    } else if let code = json["memory"]?.string.flatMap(FindingCode.init), let text = json["text"]?.string {
      self = .memory(code: code, text: text)
    } else if let figures = json["figures"].flatMap(CallFigures.init) {
      self = .figures(figures)
    } else if let name = json["plugin"]?.string, let version = json["version"]?.string {
      self = .plugin(name: name, version: version, handlers: json["handlers"]?.array?.compactMap(\.string) ?? [])
    } else if json["end"] == true {
      self = .end
    } else {
      return nil
    }
  }
}

/// What calls of a handler cost.
package struct CallFigures: Sendable, Equatable {
  package var handler: String
  package var calls: Int
  /// Nanoseconds of `run`.
  package var median: UInt64
  package var p99: UInt64
  package var most: UInt64
  /// A call; nil: not counted.
  package var allocations: Double?

  init(handler: String, walls: [UInt64], allocations: Double?) {
    let sorted = walls.sorted()
    (self.handler, calls, self.allocations) = (handler, walls.count, allocations)
    // The smallest value that so many are not above.
    func percentile(_ share: Double) -> UInt64 { sorted[max(0, Int((Double(sorted.count) * share).rounded(.up)) - 1)] }
    (median, p99, most) = (percentile(0.5), percentile(0.99), sorted[sorted.count - 1])
  }

  package var json: JSON {
    [
      "handler": .string(handler), "calls": .integer(Int64(calls)), "medianNanoseconds": .integer(Int64(median)),
      "p99Nanoseconds": .integer(Int64(p99)), "mostNanoseconds": .integer(Int64(most)),
      "allocations": allocations.map(JSON.number) ?? .null,
    ]
  }

  init?(_ json: JSON) {
    guard let handler = json["handler"]?.string, let calls = json["calls"]?.integer, let median = json["medianNanoseconds"]?.integer,
      let p99 = json["p99Nanoseconds"]?.integer, let most = json["mostNanoseconds"]?.integer, min(calls, median, p99, most) >= 0
    else { return nil }
    (self.handler, self.calls) = (handler, Int(calls))
    (self.median, self.p99, self.most) = (UInt64(median), UInt64(p99), UInt64(most))
    allocations = json["allocations"]?.double
  }
}

/// Writes lines to the process that asked. From one thread.
struct CheckReport {
  let descriptor: Int32

  func tell(_ line: CheckLine) {
    let bytes = line.json.utf8() + [UInt8(ascii: "\n")]
    var rest = bytes[...]
    while !rest.isEmpty {
      // The buffer outlives the call.
      let written = unsafe rest.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
      if written < 0, errno == EINTR { continue }
      // Nobody listens: there is nothing left to do.
      guard written > 0 else { exit(1) }
      rest = rest.dropFirst(written)
    }
  }
}
