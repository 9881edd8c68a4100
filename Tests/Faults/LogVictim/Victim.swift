import Glibc
import LogLoad
import MillraceLog

/// `append DIRECTORY [NAME=NUMBER...] [way=WAY]`, `history` likewise, `check DIRECTORY LEDGER [retention=1]`. Ends with 0: all is well; 1: the log cannot be opened,
/// or is wrong; 2: it has failed while it worked; 3: the disk stayed full; 64: wrong use.
nonisolated func victim(_ words: [String]) -> Int32 {
  guard words.count >= 2 else { return usage() }
  switch words[0] {
  case "append":
    guard let options = LoadOptions(words.dropFirst(2)) else { return usage() }
    return append(words[1], options)
  case "history":
    guard let options = LoadOptions(words.dropFirst(2)) else { return usage() }
    return history(words[1], options)
  case "check":
    guard words.count >= 3, let options = LoadOptions(words.dropFirst(3)), let text = SmallFile.text(words[2]) else { return usage() }
    return check(words[1], Ledger(text.split(separator: "\n").map(String.init)), options)
  default: return usage()
  }
}

nonisolated private func usage() -> Int32 {
  tell("usage: LogVictim append|history DIRECTORY [threads= count= from= segment= retention= deadline= way=]")
  tell("       LogVictim check DIRECTORY LEDGER [retention=]")
  return 64
}

nonisolated private func append(_ directory: String, _ options: LoadOptions) -> Int32 {
  // A log that hangs must not hang whoever waits for this program.
  alarm(UInt32(options.deadline))
  let log: EventLog
  do { log = try options.open(directory) } catch {
    tell("\(error)")
    return 1
  }
  say("opened \(log.recovery.nextPosition)")
  let load = Load(log, options)
  load.run()
  log.close()
  return load.code
}

nonisolated private func history(_ directory: String, _ options: LoadOptions) -> Int32 {
  alarm(UInt32(options.deadline))
  do {
    let log = try options.open(directory)
    HistoryLoad(log, options).run()
    log.close()
    return 0
  } catch {
    tell("\(error)")
    return 1
  }
}

nonisolated private func check(_ directory: String, _ ledger: Ledger, _ options: LoadOptions) -> Int32 {
  do {
    // What is kept stays while it is looked at.
    var looking = options
    looking.retention = 0
    let log = try looking.open(directory)
    defer { log.close() }
    guard let complaint = ledger.complaint(about: log, isWhole: options.retention == 0) else { return 0 }
    tell(complaint)
  } catch { tell("\(error)") }
  return 1
}

/// One line of standard output, in one call: so nothing that was said is held back.
nonisolated func say(_ line: String) { put(line + "\n", 1) }
nonisolated private func tell(_ line: String) { put(line + "\n", 2) }

nonisolated private func put(_ text: String, _ descriptor: Int32) {
  var rest = Array(text.utf8)[...]
  while !rest.isEmpty {
    // Safe: the bytes outlive the call.
    let wrote = unsafe rest.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
    if wrote < 0, errno != EINTR { exit(70) }
    rest = rest.dropFirst(max(0, wrote))
  }
}

private enum SmallFile {
  static func text(_ path: String) -> String? {
    let descriptor = unsafe open(path, O_RDONLY)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      // Safe: as many bytes as the array has.
      let got = unsafe piece.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
      if got <= 0 { return got < 0 ? nil : String(decoding: bytes, as: UTF8.self) }
      bytes += piece[..<got]
    }
  }
}
