import Glibc

/// Which builds of plugins may be loaded, beyond who may write their files: what is set must hold before any of their code runs.
///
/// The list says which builds there are; a signature, who made one. A signature is in the file `PLUGIN.sig` beside the plugin's: the 64 bytes that Ed25519 makes of its bytes, as
/// `openssl pkeyutl -sign -rawin -inkey private.pem -in PLUGIN -out PLUGIN.sig` writes them. An older build that was signed stays signed: only the list takes builds back.
///
/// # Source
/// RFC 8032.
public struct PluginTrust: Sendable, Hashable {
  /// What a plugin's path is followed by in that of its signature.
  public static let signatureSuffix = ".sig"
  /// Bytes of a list, at most.
  public static let largestList = 1 << 20
  /// Public keys, at most.
  public static let mostKeys = 64

  /// SHA-256 of the builds that may be loaded, each 64 hexadecimal digits in lower case; nil: any.
  public var builds: Set<String>?
  /// Whoever has one of these keys may sign a build; empty: none needs a signature. ``mostKeys`` at most, the others are not looked at.
  public var keys: [SigningKey]

  /// Without arguments every build may be loaded.
  public init(builds: Set<String>? = nil, keys: [SigningKey] = []) {
    self.builds = builds
    self.keys = keys
  }

  /// What a file lists: a SHA-256 at the beginning of each line, what follows a space is for people, as `sha256sum` writes it. Empty lines and those that begin with `#` are passed over.
  ///
  /// - Throws: `badTrust` with the line, or with what is wrong with the file; the same may write it as a plugin.
  /// - Complexity: O(bytes).
  public static func builds(listedIn path: String) throws(PluginError) -> Set<String> {
    let text = String(decoding: try trustedBytes(path, limit: largestList), as: UTF8.self)
    var builds: Set<String> = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let line = line.last == "\r" ? line.dropLast() : line
      guard let first = line.first, first != "#" else { continue }
      let word = line.prefix { $0 != " " }
      guard isBuild(word) else {
        throw .badTrust(
          path: path, reason: "line \(index + 1) does not begin with a SHA-256, 64 of 0-9 and a-f, and a space: '\(word.prefix(80))'")
      }
      builds.insert(String(word))
    }
    return builds
  }

  /// Whether this is a SHA-256 as builds are named: 64 of 0-9 and a-f.
  package static func isBuild(_ text: some StringProtocol) -> Bool {
    text.utf8.count == 64 && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
  }

  /// Whether a copy may be loaded. The signature that it has, if one is asked for.
  ///
  /// - Throws: `notListed`, `unsigned`, `wrongSignature`, `noPrivateCopy`.
  func check(_ copy: borrowing PrivateCopy, path: String) throws(PluginError) -> [UInt8]? {
    if let builds, !builds.contains(copy.sha256) { throw .notListed(path: path, sha256: copy.sha256) }
    guard !keys.isEmpty else { return nil }
    let file = path + Self.signatureSuffix
    let signature = try Self.signature(file, of: path)
    let size = Int(copy.size)
    guard size > 0 else { throw .wrongSignature(path: path, signature: file) }
    guard let bytes = unsafe mmap(nil, size, PROT_READ, MAP_PRIVATE, copy.descriptor, 0), unsafe bytes != MAP_FAILED else {
      throw .noPrivateCopy(path: path, reason: errorText())
    }
    // unsafe: `size` bytes that nobody can write any more: the copy is sealed.
    defer { unsafe munmap(bytes, size) }
    let content = unsafe UnsafeRawBufferPointer(start: bytes, count: size)
    for key in keys.prefix(Self.mostKeys) where unsafe key.verifies(signature, of: content) { return signature }
    throw .wrongSignature(path: path, signature: file)
  }

  /// Whoever wrote it: it is right or wrong.
  private static func signature(_ file: String, of path: String) throws(PluginError) -> [UInt8] {
    let bytes: [UInt8]
    do throws(PluginError) { bytes = try OpenedFile.open(file, limit: Int64(SigningKey.signatureBytes)).bytes() } catch {
      switch error {
      case .missing: throw .unsigned(path: path, signature: file)
      case .tooLarge: throw .wrongSignature(path: path, signature: file)
      default: throw error
      }
    }
    guard bytes.count == SigningKey.signatureBytes else { throw .wrongSignature(path: path, signature: file) }
    return bytes
  }

  /// A file that says what is trusted: those may write it that may write a plugin. Throws `badTrust`.
  static func trustedBytes(_ path: String, limit: Int) throws(PluginError) -> [UInt8] {
    do throws(PluginError) {
      let file = try OpenedFile.open(path, limit: Int64(limit))
      try file.checkTrust()
      return try file.bytes()
    } catch { throw .badTrust(path: path, reason: error.what) }
  }
}
