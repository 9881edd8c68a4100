import Foundation
import Testing

/// What a run writes, anywhere, with secrets that its tasks say aloud.
@Suite struct CommandSecretTests {
  private static let token = "tok-\"47\"-gr\u{fc}n-x"
  private static let key = "key/4711-0815/abcdef"

  /// Two tasks that were given secrets and tell them in their output, in their errors and by how they fail.
  private static let workflow = """
    format: 1
    workflow: telling
    on_failure: continue
    result: said
    tasks:
      - id: said
        handler: shell/run
        env: { TOKEN: { secret: TOKEN }, URL: "https://x:${secrets.KEY}@host/", PLAIN: "${run.workflow}", N: 5 }
        input: { command: 'printf "%s %s %s %s\\n" "$TOKEN" "$URL" "$PLAIN" "$N"; echo "$TOKEN" >&2' }
      - id: length
        handler: shell/run
        env: { TOKEN: { secret: TOKEN } }
        input: { command: 'printf %s "$TOKEN" | wc -c' }
      - id: failed
        handler: shell/run
        env: { TOKEN: { secret: TOKEN }, KEY: { secret: KEY } }
        input: { command: 'echo "no access with $TOKEN" >&2; env >&2; exit 3' }
      - id: others
        handler: shell/run
        input: { command: 'env | grep -c SECRET_ && exit 4; exit 0' }
    cleanup:
      - id: also
        handler: shell/run
        env: { KEY: { secret: KEY } }
        input: { command: 'echo "$KEY" >&2; exit 5' }
    """

  private func secrets(_ command: Command) throws -> String {
    let folder = command.file("secrets")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    try command.write("secrets/KEY", Self.key + "\n")
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: folder + "/KEY")
    return folder
  }

  @Test("no output of a run holds the value of a secret: neither the report folder, nor standard output, nor standard error, nor JSON")
  func nowhere() throws {
    let command = try Command()
    let file = try command.write("w.yaml", Self.workflow)
    let folder = try secrets(command)
    var texts: [String: String] = [:]
    for (name, format) in [("text", "text"), ("json", "json")] {
      let (process, output, errors) = try command.process([
        "run", file, "--report", command.file(name), "-o", format, "--secrets", folder, "--secrets-env", "SECRET_",
      ])
      process.environment?["SECRET_TOKEN"] = Self.token
      process.environment?["SECRET_OTHER"] = "unused-value"
      try process.run()
      process.waitUntilExit()
      #expect(process.terminationStatus == 1)
      texts["\(name) output"] = try String(contentsOfFile: output, encoding: .utf8)
      texts["\(name) errors"] = try String(contentsOfFile: errors, encoding: .utf8)
      for file in ["report.json", "run.json", "timeline.html"] { texts["\(name) \(file)"] = try command.read(name + "/" + file) }
    }
    #expect(texts.count == 10)
    let quoted = Self.token.replacingOccurrences(of: "\"", with: "\\\"")
    for (name, text) in texts {
      for secret in [Self.token, quoted, Self.key, "4711-0815", "unused-value"] { #expect(!text.contains(secret), "\(name): \(secret)") }
    }
    // It was there, and is marked.
    #expect(texts["text report.json"]?.contains("*** https://x:***@host/ telling 5") == true)
    #expect(texts["text run.json"]?.contains("no access with ***") == true)
    #expect(texts["json run.json"]?.contains("KEY=***") == true)
    // No program inherits the variables that it came from: `others` would fail.
    #expect(texts["json errors"]?.contains("failed (shell/run) failed") == true)
    #expect(texts["json errors"]?.contains("others (shell/run) failed") == false)
  }

  @Test("secrets that are not there, too short, or open to everybody keep a run from starting, and the message says which")
  func refused() throws {
    let command = try Command()
    let text = """
      format: 1
      workflow: w
      tasks: [{ id: a, handler: shell/run, env: { T: { secret: KEY } }, input: { command: "true" } }]
      """
    let file = try command.write("w.yaml", text)
    var ending = try command.run("run", file)
    #expect(ending.exit == 69)
    #expect(ending.errors.contains("task a needs the secret KEY, and no secrets are to be had: name a source (--secrets, --secrets-env)"))
    let folder = try secrets(command)
    ending = try command.run("run", file, "--secrets", folder)
    #expect(ending.exit == 0)
    try FileManager.default.setAttributes([.posixPermissions: 0o604], ofItemAtPath: folder + "/KEY")
    ending = try command.run("run", file, "--secrets", folder)
    #expect(ending.exit == 69)
    #expect(ending.errors.contains("\(folder)/KEY can be read or changed by everybody"))
    try command.write("secrets/KEY", "abc")
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: folder + "/KEY")
    ending = try command.run("run", file, "--secrets", folder)
    #expect(ending.errors.contains("the secret KEY has 3 bytes: at least 4 are needed"))
    try FileManager.default.removeItem(atPath: folder + "/KEY")
    ending = try command.run("run", file, "--secrets", folder)
    #expect(ending.errors.contains("task a needs the secret KEY, which is not there"))
    try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: folder)
    ending = try command.run("run", file, "--secrets", folder)
    #expect(ending.exit == 64)
    #expect(ending.errors.contains("\(folder) can be changed by others"))
  }
}
