import Foundation
import Millrace
import Testing

/// A directory of agents that are real processes, and what can be seen of them from outside. All of them are gone when it goes.
final class AgentWorld: Sendable {
  let folder: Folder
  var directory: String { URL(filePath: folder.path).resolvingSymlinksInPath().path + "/agents" }

  init() throws { folder = try Folder() }

  deinit { for pid in processes { kill(pid, SIGKILL) } }

  /// Scripts for agents by what they do. Each answers as `LocalAgentRuntime` says.
  static let scripts = [
    "good": answering("printf '{\"key\":\"%s\",\"result\":{\"tenant\":\"%s\",\"lines\":%d}}\\n' \"$key\" \"$MILLRACE_TENANT\" 7"),
    "refuses": answering("printf '{\"key\":\"%s\",\"error\":\"no such data\"}\\n' \"$key\""),
    "forgets": answering(":"),
    "leaves": answering("exit 4"),
    "babbles": answering(
      "printf 'half a line\\n{\"key\":\"other\",\"result\":1}\\n\\n{\"key\":\"%s\",\"result\":2}\\n' \"$key\""),
    "stubborn": "trap '' TERM; tail -f /dev/null & " + answering("printf '{\"key\":\"%s\"}\\n' \"$key\""),
    "dies": "echo no licence >&2; exit 3",
    "mute": "while read -r line; do :; done",
  ]

  private static func answering(_ task: String) -> String {
    """
    while read -r line; do
      key=${line#*\\"key\\":\\"}; key=${key%%\\"*}
      case $line in
        *'"kind":"health"'*) printf '{"key":"%s","result":"ok"}\\n' "$key" ;;
        *) \(task) ;;
      esac
    done
    """
  }

  static func program(_ type: String) -> [String] { ["/bin/sh", "-c", scripts[type] ?? ""] }

  /// Only "mute" is given less time for its first answer than a slow machine may need: it never gives one.
  func agents(grace: UInt64 = 60_000_000_000, healthTimeout: UInt64 = 60_000_000_000) throws -> LocalAgents {
    let programs = Dictionary(uniqueKeysWithValues: Self.scripts.keys.map { ($0, Self.program($0)) })
    return try LocalAgents(directory, programs: programs, grace: grace, healthTimeout: healthTimeout)
  }

  /// All processes of agents of this directory, their children included, that have not ended: by the environment that they were started with.
  var processes: [Int32] {
    let mark = "MILLRACE_CREDENTIALS=\(directory)/"
    return ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { Int32($0) }.filter { pid in
      // What has ended meanwhile, or is another user's, cannot be read, and is none.
      guard let bytes = FileManager.default.contents(atPath: "/proc/\(pid)/environ") else { return false }
      return String(decoding: bytes, as: UTF8.self).contains(mark)
    }
  }

  /// A process that waits at its gate ends when its host has ended, a moment later.
  func settles(_ count: Int) async -> Bool {
    let end = ContinuousClock.now + .seconds(60)
    while processes.count != count {
      if ContinuousClock.now > end { return false }
      await Task.yield()
    }
    return true
  }

  var tokens: [String] { (try? FileManager.default.contentsOfDirectory(atPath: directory + "/tokens")) ?? [] }
  var homes: [String] { (try? FileManager.default.contentsOfDirectory(atPath: directory + "/run")) ?? [] }

  /// Nothing is left of any agent: no process, no token, no entry, no file.
  func isEmpty(_ agents: LocalAgents) async throws -> Bool {
    try await settles(0) && tokens.isEmpty && homes.isEmpty && agents.registry.agents.isEmpty && agents.credentials.grants.isEmpty
  }
}
