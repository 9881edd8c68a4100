internal import Glibc
internal import MillracePlugins
internal import MillraceWorkflow

/// Random tokens of 256 bits, one for each agent, in files that only their user can read. Beside them only their SHA-256 is kept. See `LocalAgents`.
public final class LocalCredentials: CredentialIssuer {
  /// What a token stands for.
  public struct Grant: Sendable, Hashable, Codable {
    /// Its id.
    public var agent: String
    /// What it may do.
    public var permissions: [String]
    var sha256: String
  }

  private let table: FileTable
  private let directory: String

  init(_ directory: String) throws {
    table = try FileTable(directory + "/credentials.json")
    self.directory = directory + "/tokens"
    try AtomicFile.makeDirectory(self.directory)
  }

  /// What the token stands for; nil: nobody has it, or it was revoked. Complexity: O(agents).
  public func grant(for token: String) throws -> Grant? {
    let digest = try Self.digest(Array(token.utf8))
    return try table.all.values.first { $0["sha256"]?.string == digest }?.decoded()
  }

  /// Every grant, by agent. Complexity: O(agents).
  public var grants: [Grant] {
    get throws { try table.all.sorted { $0.key < $1.key }.map { try $0.value.decoded() } }
  }

  /// The location is the path of a file of 64 hexadecimal digits. Complexity: O(agents).
  public func issue(for agent: Agent, key: String) async throws -> CredentialReference {
    try LocalAgents.check(agent.id)
    let path = "\(directory)/\(agent.id)"
    do {
      try table.change(agent.id) { old in
        if let old, let token = try AtomicFile.read(path), old["sha256"]?.string == (try Self.digest(token)) { return old }
        // Without its row it is worth nothing: the file goes first, and a crash between them leaves no token that nobody knows.
        let token = try Self.token()
        try AtomicFile.write(token, to: path, mode: 0o600)
        return try JSON(encoding: Grant(agent: agent.id, permissions: agent.permissions, sha256: Self.digest(token)))
      }
    } catch let error as TaskFailure {
      do { if table.all[agent.id] == nil { try AtomicFile.remove(path) } } catch let second {
        throw TaskFailure("io", "\(error); and its token could not be removed: \(second)")
      }
      throw error
    }
    return CredentialReference(location: path)
  }

  /// Complexity: O(agents).
  public func revoke(of agent: String, key: String) async throws {
    try LocalAgents.check(agent)
    try table.change(agent) { _ in nil }
    try AtomicFile.remove("\(directory)/\(agent)")
  }

  private static func token() throws(TaskFailure) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 32)
    // unsafe: filled in during the call.
    if unsafe bytes.withUnsafeMutableBytes({ unsafe getentropy($0.baseAddress!, 32) }) != 0 { throw .file("getentropy") }
    let digits = Array("0123456789abcdef".utf8)
    return bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
  }

  private static func digest(_ token: [UInt8]) throws(TaskFailure) -> String {
    guard var digest = Digest() else { throw TaskFailure("no-digest", "libcrypto offers no SHA-256", isRetryable: false) }
    // unsafe: read during the call.
    unsafe token.withUnsafeBytes { unsafe digest.update($0) }
    return digest.finish()
  }
}
