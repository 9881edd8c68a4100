import Foundation
import Testing

@testable import MillracePlugins

/// Which builds may be loaded, by lists and signatures that are made as a user makes them.
@Suite(
  .enabled(if: Workshop.compiler != nil, Workshop.noCompiler),
  .enabled(if: OpenSSL.isThere, "no openssl in /usr/bin: apt-get install openssl"))
struct AllowedPluginTests {
  private let workshop: Workshop
  private let path: String

  init() throws {
    workshop = try Workshop()
    path = try workshop.plugin()
  }

  private func refusal(_ trust: PluginTrust, _ path: String? = nil) -> PluginError? {
    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table, trust: trust)
    defer {
      loader.unloadAll()
      host.end()
    }
    do throws(PluginError) {
      _ = try loader.load(path ?? self.path)
      return nil
    } catch { return error }
  }

  private func sha256(_ path: String) throws -> String { try String(workshop.run("/usr/bin/sha256sum", [path]).prefix(64)) }

  /// A key of its own, as `NAME.pem` and `NAME.pub`.
  private func key(_ name: String, _ kind: [String] = ["-algorithm", "ed25519"]) throws -> String {
    let (own, shown) = (workshop.file("\(name).pem"), workshop.file("\(name).pub"))
    try workshop.run(OpenSSL.program, ["genpkey"] + kind + ["-out", own])
    try workshop.run(OpenSSL.program, ["pkey", "-in", own, "-pubout", "-out", shown])
    return shown
  }

  private func sign(_ path: String, by name: String) throws {
    try workshop.run(
      OpenSSL.program, ["pkeyutl", "-sign", "-rawin", "-inkey", workshop.file("\(name).pem"), "-in", path, "-out", path + ".sig"])
  }

  // MARK: Lists

  @Test("a build on the list is loaded, another one is refused with its SHA-256, before its code runs") func listed() throws {
    let list = try workshop.write("allowed", "# ours\n\n\(sha256(path))  \(path)\r\n".utf8)
    let trust = PluginTrust(builds: try PluginTrust.builds(listedIn: list))
    #expect(refusal(trust) == nil)
    let other = try workshop.plugin("libmillrace-plugin-other.so", ["VERSION=\"2\"", "NAME=\"other\""])
    let found = try sha256(other)
    #expect(refusal(trust, other) == .notListed(path: other, sha256: found))
    #expect(refusal(PluginTrust(builds: [])) == .notListed(path: path, sha256: try sha256(path)), "an empty list allows nothing")
    // One more byte behind the end is another build.
    var bytes = try Data(contentsOf: URL(filePath: path))
    bytes.append(0)
    let grown = try workshop.write("grown.so", bytes)
    #expect(refusal(trust, grown) == .notListed(path: grown, sha256: try sha256(grown)))
  }

  @Test(
    "a list with a line that is no SHA-256 is refused whole, with the line",
    arguments: [
      "sha256:0", String(repeating: "A", count: 64), String(repeating: "a", count: 63), String(repeating: "a", count: 65), " ",
      "../builds/x",
    ])
  func badLines(line: String) throws {
    let list = try workshop.write("allowed", "\(String(repeating: "a", count: 64)) first\n\(line)\n".utf8)
    #expect {
      try PluginTrust.builds(listedIn: list)
    } throws: { error in
      guard case .badTrust(list, let reason)? = error as? PluginError else { return false }
      return reason.hasPrefix("line 2 does not begin with a SHA-256")
    }
  }

  @Test("a list that is not there, too large, or that anybody may write is refused, as is a directory") func badLists() throws {
    let list = workshop.file("allowed")
    func problem() -> PluginError? {
      do throws(PluginError) {
        _ = try PluginTrust.builds(listedIn: list)
        return nil
      } catch { return error }
    }
    #expect(problem() == .badTrust(path: list, reason: "there is no such file"))
    try workshop.write("allowed", repeatElement(UInt8(ascii: "#"), count: PluginTrust.largestList))
    #expect(problem() == nil)
    try workshop.write("allowed", repeatElement(UInt8(ascii: "#"), count: PluginTrust.largestList + 1))
    #expect(problem()?.description.contains("it has 1048577 bytes, the limit is 1048576") == true)
    try workshop.write("allowed", [])
    unsafe #expect(chmod(list, 0o666) == 0)
    #expect(problem() == .badTrust(path: list, reason: "anybody may write \(list)"))
    try FileManager.default.removeItem(atPath: list)
    try FileManager.default.createDirectory(atPath: list, withIntermediateDirectories: false)
    #expect(problem() == .badTrust(path: list, reason: "it cannot be read: it is a directory"))
  }

  // MARK: Signatures

  @Test("a build that one of the keys signed is loaded, and kept with its signature") func signed() throws {
    let (first, second) = try (key("first"), key("second"))
    try sign(path, by: "second")
    let trust = PluginTrust(keys: [try SigningKey(pem: first), try SigningKey(pem: second)])
    #expect(refusal(trust) == nil)
    #expect(refusal(PluginTrust(keys: [try SigningKey(pem: first)])) == .wrongSignature(path: path, signature: path + ".sig"))

    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table, trust: trust)
    let kept = workshop.file("kept.so")
    try loader.load(path).copy(to: kept)
    loader.unloadAll()
    host.end()
    #expect(refusal(trust, kept) == nil)
    #expect(try sha256(kept) == sha256(path))
  }

  @Test("a build without a signature, with another's, or of which a byte has changed is refused") func unsigned() throws {
    let trust = PluginTrust(keys: [try SigningKey(pem: key("ours"))])
    let signature = path + ".sig"
    #expect(refusal(trust) == .unsigned(path: path, signature: signature))
    _ = try key("theirs")
    try sign(path, by: "theirs")
    #expect(refusal(trust) == .wrongSignature(path: path, signature: signature))
    try sign(path, by: "ours")
    #expect(refusal(trust) == nil)
    let right = try Data(contentsOf: URL(filePath: signature))
    for wrong in [Data(), right.dropLast(), right + [0], Data(repeating: 0, count: 64), Data(right.reversed())] {
      try wrong.write(to: URL(filePath: signature))
      #expect(refusal(trust) == .wrongSignature(path: path, signature: signature))
    }
    try right.write(to: URL(filePath: signature))
    var bytes = try Data(contentsOf: URL(filePath: path))
    for index in [0, bytes.count / 2, bytes.count - 1] {
      bytes[index] ^= 1
      try bytes.write(to: URL(filePath: path))
      #expect(refusal(trust) == .wrongSignature(path: path, signature: signature))
      bytes[index] ^= 1
    }
    try bytes.write(to: URL(filePath: path))
    #expect(refusal(trust) == nil)
  }

  @Test("both are asked for where both are set") func both() throws {
    let keys = [try SigningKey(pem: key("ours"))]
    try sign(path, by: "ours")
    #expect(refusal(PluginTrust(builds: [try sha256(path)], keys: keys)) == nil)
    #expect(refusal(PluginTrust(builds: [], keys: keys)) == .notListed(path: path, sha256: try sha256(path)))
    try FileManager.default.removeItem(atPath: path + ".sig")
    #expect(refusal(PluginTrust(builds: [try sha256(path)], keys: keys)) == .unsigned(path: path, signature: path + ".sig"))
  }

  @Test("what is no public key, or one of another kind, is refused as a key; so is the private half") func keys() throws {
    func problem(_ path: String) -> String? {
      do throws(PluginError) {
        _ = try SigningKey(pem: path)
        return nil
      } catch { return error.description }
    }
    let other = try key("other", ["-algorithm", "x25519"])
    #expect(problem(other)?.contains("its key is not one for Ed25519") == true)
    let rsa = try key("rsa", ["-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:1024"])
    #expect(problem(rsa)?.contains("its key is not one for Ed25519") == true)
    let own = try key("own")
    #expect(problem(own) == nil)
    #expect(problem(workshop.file("own.pem"))?.contains("there is no public key in it") == true)
    for text in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", String(repeating: "x", count: 16_384)] {
      #expect(problem(try workshop.write("text", text.utf8))?.contains("there is no public key in it") == true)
    }
    #expect(problem(try workshop.write("text", repeatElement(UInt8(0), count: 16_385)))?.contains("the limit is 16384") == true)
    #expect(SigningKey(bytes: [1, 2]) == nil)
  }

  /// RFC 8032, 7.1, tests 1 and 3.
  @Test("the vectors of RFC 8032 verify, with any bit changed they do not") func vectors() throws {
    func bytes(_ hex: String) -> [UInt8] {
      let digits = Array(hex.utf8).map { UInt8(truncatingIfNeeded: $0 < 58 ? $0 - 48 : $0 - 87) }
      return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
    let vectors = [
      (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
      ),
      (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
      ),
    ]
    for (key, content, signature) in vectors {
      let key = try #require(SigningKey(bytes: bytes(key)))
      let (content, signature) = (bytes(content), bytes(signature))
      func verifies(_ signature: [UInt8]) -> Bool {
        // unsafe: for the call.
        unsafe content.withUnsafeBytes { unsafe key.verifies(signature, of: $0) }
      }
      #expect(verifies(signature))
      for bit in 0..<512 {
        var wrong = signature
        wrong[bit / 8] ^= 1 << UInt8(bit % 8)
        #expect(!verifies(wrong))
      }
    }
  }

  // MARK: Settings

  @Test("settings that the host finds wrong keep a plugin out before `init`") func settings() throws {
    let plugin = try workshop.plugin("libmillrace-plugin-set.so", ["CONFIGURATION=\"{}\""])
    let host = TestHost()
    var loader = unsafe PluginLoader(host: host.table) { name, schema in "\(name) \(schema)" }
    defer { host.end() }
    #expect {
      try loader.load(plugin)
    } throws: { error in
      guard case .badSetting(plugin, _, let reason)? = error as? PluginError else { return false }
      return reason == "test {}"
    }
    #expect(loader.plugins.isEmpty)
  }
}

private enum OpenSSL {
  static let program = "/usr/bin/openssl"
  static let isThere = FileManager.default.isExecutableFile(atPath: program)
}
