/// One look at a plugin, in a process of its own.
package enum Check: String, Sendable, CaseIterable {
  case entry
  case versions
  case descriptors
  case doubleInit = "double-init"
  case outputBounds = "output-bounds"
  case emptyInput = "empty-input"
  case garbageInput = "garbage-input"
  case largeInput = "large-input"
  case completion
  case concurrency
  case twoInstances = "two-instances"
  case unknownExtensions = "unknown-extensions"
  case useAfterDestroy = "use-after-destroy"
  case threads
  case leaks
  case cost
  case fuzz

  /// What it does, for people.
  package var summary: String {
    switch self {
    case .entry: "loads it, calls init and deinit"
    case .versions: "asks for an interface of the next version"
    case .descriptors: "reads names, texts and schemas"
    case .doubleInit: "loads it three times, one after the other"
    case .outputBounds: "calls with inputs by schema: outcomes, outputs, texts"
    case .emptyInput: "calls with no input, and with one of no bytes"
    case .garbageInput: "calls with what is no JSON, or other JSON than the schema's"
    case .largeInput: "calls with inputs of 1 MiB"
    case .completion: "calls that are cancelled from the beginning; who ends what, and when"
    case .concurrency: "calls on four threads at once"
    case .twoInstances: "loads it twice at once, and uses both"
    case .unknownExtensions: "asks for extensions that it cannot have, and offers it none"
    case .useAfterDestroy: "who uses the host after deinit"
    case .threads: "threads before init and after deinit"
    case .leaks: "memory and descriptors that grow with each call"
    case .cost: "time and allocations of a call; waiting on a worker"
    case .fuzz: "calls with changed inputs, by a seed"
    }
  }

  /// Whether it calls handlers.
  var calls: Bool {
    switch self {
    case .entry, .versions, .descriptors, .doubleInit, .unknownExtensions: false
    default: true
    }
  }
}

/// How a plugin is checked.
package struct CheckRequest: Sendable {
  package var path: String
  package var seed: UInt64
  /// Calls of each handler where many are made, 1 ... 100,000.
  package var calls: Int
  /// Nanoseconds before a call is cancelled, and again before it is given up.
  package var patience: UInt64
  package var settings: [String: String]
  /// Inputs of the user's own, before those that are made.
  package var inputs: [[UInt8]]
  /// Of `plugin/handler`; empty: all.
  package var handlers: Set<String>
  /// Not these: what they do wrong is known, and takes time.
  package var without: Set<String> = []

  package static let mostCalls = 100_000

  package init(
    path: String, seed: UInt64, calls: Int, patience: UInt64, settings: [String: String] = [:], inputs: [[UInt8]] = [],
    handlers: Set<String> = []
  ) {
    (self.path, self.seed, self.calls, self.patience) = (path, seed, calls, patience)
    (self.settings, self.inputs, self.handlers) = (settings, inputs, handlers)
  }

  func takes(_ handler: String) -> Bool { (handlers.isEmpty || handlers.contains(handler)) && !without.contains(handler) }
}
