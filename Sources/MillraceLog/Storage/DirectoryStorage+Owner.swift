internal import Glibc
internal import MillraceCore

extension DirectoryStorage {
  /// Who has the log of this directory open for writing, as it says of itself; nil: nobody on this machine. Takes no lock: a writer that opens it meanwhile is not
  /// refused. Complexity: O(locks of this machine).
  public var owner: String? {
    var facts = stat()
    // unsafe: filled in during the call.
    guard unsafe stat(path + "/" + Self.lockName, &facts) == 0, let locks = SmallFile.text("/proc/locks") else { return nil }
    let isLocked = locks.split(separator: "\n").contains { line in
      // `1: FLOCK  ADVISORY  WRITE 19023 fe:00:16220258 0 EOF`; a waiter has `->` behind the number.
      let words = line.split(separator: " ")
      guard words.count >= 6, words[1] == "FLOCK" else { return false }
      return words[5].split(separator: ":").last.flatMap { UInt64($0) } == UInt64(facts.st_ino)
    }
    guard isLocked else { return nil }
    let text = SmallFile.text(path + "/" + Self.lockName)?.prefix { $0 != "\n" } ?? ""
    return text.isEmpty ? "another process" : String(text)
  }
}
