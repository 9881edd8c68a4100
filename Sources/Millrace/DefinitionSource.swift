internal import MillraceCore
internal import MillracePlugins
public import MillraceWorkflow

extension Definition {
  /// SHA-256 of the definition in one form, whatever file it came from, 64 hexadecimal digits: two definitions that have it in common run the same
  /// tasks. Descriptions and the schedule do not count. nil: libcrypto offers no SHA-256. Complexity: O(tasks + dependencies + inputs).
  public var sha256: String? {
    guard var digest = Digest() else { return nil }
    writeCanonicalForm { part in
      // The bytes of the array, for the call.
      unsafe part.withUnsafeBytes { unsafe digest.update($0) }
    }
    return digest.finish()
  }
}

/// The definition of a run before its parameters were put in place. What was not changed by them is shared with the one that runs.
final class DefinitionSource: @unchecked Sendable {
  let definition: Definition
  /// Guards `hash`.
  private let monitor = Monitor()
  private var hash: String??

  init(_ definition: Definition) { self.definition = definition }

  deinit { monitor.deallocate() }

  /// See `Definition.sha256`; made when it is first asked for.
  var sha256: String? {
    monitor.locked {
      if let hash { return hash }
      let made = definition.sha256
      hash = .some(made)
      return made
    }
  }
}

extension RunRecord {
  /// Adds what only the engine knows: the definition's hash, and the builds of the plugins whose handlers the tasks name.
  mutating func add(_ source: DefinitionSource, _ plugins: [LoadedPlugin]) {
    definitionSHA256 = source.sha256
    let handlers = Set(tasks.lazy.map(\.handler))
    self.plugins = plugins.filter { $0.handlers.contains { handlers.contains($0.qualifiedName) } }
      .map { PluginBuild(name: $0.name, version: $0.version, sha256: $0.sha256) }
  }
}
