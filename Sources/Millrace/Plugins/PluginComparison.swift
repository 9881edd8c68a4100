internal import CMillrace
package import MillracePlugins
internal import MillraceWorkflow

/// What differs between two builds of a plugin, and whether whoever used the old one can use the new one.
package struct PluginComparison {
  /// One difference.
  package struct Difference: Equatable {
    /// Definitions, inputs or hosts that worked with the old one may not work with the new one.
    package var isBreaking: Bool
    /// As "plugin", "handler files/list", "field host.now".
    package var subject: String
    package var what: String

    package init(isBreaking: Bool, subject: String, what: String) {
      (self.isBreaking, self.subject, self.what) = (isBreaking, subject, what)
    }
  }

  /// In the order in which they were found: layout, plugin, handlers of the old one, new handlers.
  package private(set) var differences: [Difference] = []

  package init() {}

  package var isBreaking: Bool { differences.contains { $0.isBreaking } }

  private mutating func add(_ isBreaking: Bool, _ subject: String, _ what: String) {
    differences.append(Difference(isBreaking: isBreaking, subject: subject, what: what))
  }

  // MARK: Layout

  /// Compares what they were compiled with.
  package mutating func compare(_ old: PluginManifest, _ new: PluginManifest) {
    if old.abiVersion != new.abiVersion { add(true, "interface", "is version \(new.abiVersion), it was \(old.abiVersion)") }
    let after = Dictionary(uniqueKeysWithValues: new.entries.map { ($0.name, $0) })
    let before = Set(old.entries.map(\.name))
    for entry in old.entries {
      guard let now = after[entry.name] else {
        let isNeeded = PluginManifest.isRequired(entry.name)
        add(isNeeded, "\(entry.kind) \(entry.name)", isNeeded ? "is gone" : "is gone: it is built against an older header")
        continue
      }
      // A struct may grow: its new fields are told below.
      if now != entry, !entry.mayGrow { add(true, "\(entry.kind) \(entry.name)", "is \(now.place), it was \(entry.place)") }
    }
    for entry in new.entries where !before.contains(entry.name) {
      add(false, "\(entry.kind) \(entry.name)", "is new: it is built against a newer header")
    }
  }

  // MARK: Description

  /// Compares what they describe.
  package mutating func compare(_ old: LoadedPlugin, _ new: LoadedPlugin) {
    if old.name != new.name { add(true, "plugin", "is called \(new.name), it was \(old.name): definitions name its handlers by that") }
    if old.version != new.version { add(false, "plugin", "has version \(new.version), it was \(old.version)") }
    settings(old.configurationSchema, new.configurationSchema)
    let after = Dictionary(uniqueKeysWithValues: new.handlers.map { ($0.ownName, $0) })
    let before = Set(old.handlers.map(\.ownName))
    var added = new.handlers.filter { !before.contains($0.ownName) }
    for handler in old.handlers {
      let subject = "handler \(handler.qualifiedName)"
      if let now = after[handler.ownName] {
        compare(handler, now, subject)
      } else if let at = added.firstIndex(where: { $0.isTwin(of: handler) }) {
        add(true, subject, "is called \(added.remove(at: at).ownName) now")
      } else {
        add(true, subject, "is gone")
      }
    }
    for handler in added { add(false, "handler \(handler.qualifiedName)", "is new") }
  }

  private mutating func compare(_ old: LoadedHandler, _ new: LoadedHandler, _ subject: String) {
    if let isNow = change(old, new, UInt32(MILLRACE_BLOCKING)) {
      add(false, subject, isNow ? "is blocking: it runs in the pool for that" : "is no longer blocking: it runs on a worker")
    }
    if let isNow = change(old, new, UInt32(MILLRACE_EXCLUSIVE)) {
      add(
        !isNow, subject,
        isNow
          ? "is exclusive: attempts wait for late code of earlier ones"
          : "is no longer exclusive: an attempt may overlap late code of an earlier one")
    }
    if old.concurrency != new.concurrency {
      add(false, subject, "runs \(new.concurrencyText) attempts at once, it was \(old.concurrencyText)")
    }
    schema(old.inputSchema, new.inputSchema, subject, "input")
    // The other way round: whoever reads the output knows what the old one said of it.
    schema(new.outputSchema, old.outputSchema, subject, "output")
  }

  /// nil: the flag is as it was.
  private func change(_ old: LoadedHandler, _ new: LoadedHandler, _ flag: UInt32) -> Bool? {
    (old.flags ^ new.flags) & flag == 0 ? nil : new.flags & flag != 0
  }

  private mutating func settings(_ old: String?, _ new: String?) { schema(old, new, "plugin", "settings") }

  /// `wide` must accept all that `narrow` does. No schema is one that accepts anything.
  private mutating func schema(_ narrow: String?, _ wide: String?, _ subject: String, _ what: String) {
    if narrow == wide { return }
    let isOutput = what == "output"
    switch (parsed(narrow), parsed(wide)) {
    case (nil, _), (_, nil): add(true, subject, "the schema of its \(what) changed, and one of the two is no JSON")
    case (let narrow?, let wide?):
      if narrow == wide { return }
      guard let reason = SchemaInclusion.obstacle(wide, accepting: narrow) else {
        return add(false, subject, isOutput ? "its output is as it was, or more is said of it" : "takes all that it took as \(what)")
      }
      // Told from the old one's side, the words are about the old schema.
      add(
        true, subject, isOutput ? "may give an output that it did not give before (by the old schema \(reason))" : "its \(what): \(reason)")
    }
  }

  private func parsed(_ schema: String?) -> JSON? {
    guard let schema else { return .bool(true) }
    do throws(JSONSyntaxError) { return try JSON(parsing: schema) } catch { return nil }
  }
}

extension LoadedHandler {
  /// Without its plugin's.
  fileprivate var ownName: Substring {
    qualifiedName[(qualifiedName.firstIndex(of: "/").map(qualifiedName.index(after:)) ?? qualifiedName.startIndex)...]
  }
  fileprivate var concurrencyText: String { concurrency == 0 ? "any number of" : "\(concurrency)" }

  /// Whether all but the name is the same.
  fileprivate func isTwin(of other: LoadedHandler) -> Bool {
    summary == other.summary && flags == other.flags && concurrency == other.concurrency && inputSchema == other.inputSchema
      && outputSchema == other.outputSchema
  }
}
