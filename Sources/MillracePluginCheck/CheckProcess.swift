internal import CMillrace
internal import Glibc

/// A process in which one check is made, and what it told.
struct CheckProcess {
  enum Ending: Equatable {
    case exited(Int32)
    case signalled(Int32)
    /// It was killed, for its time was over.
    case late
  }

  /// Bytes that are read of one process; what comes after is passed over. The lines of 100,000 calls have less.
  private static let most = 256 << 20
  private static let longestLine = 64 << 10

  var lines: [CheckLine] = []
  var ending: Ending
  /// The end of what it wrote to standard error.
  var said: String

  /// Runs `program` with `arguments` until it ends, or for `limit` nanoseconds; its group is killed afterwards. In `folder`, which has a file for what it says.
  /// Throws an errno value.
  static func run(_ program: String, _ arguments: [String], in folder: String, limit: UInt64) throws(CheckStartError) -> CheckProcess {
    var ends: [Int32] = [0, 0]
    // Two descriptors are written there.
    let refused = unsafe millrace_gate(&ends)
    guard refused == 0 else { throw CheckStartError(refused) }
    let (reading, writing) = (ends[0], ends[1])
    let nothing = millrace_lift(unsafe open("/dev/null", O_RDWR | O_CLOEXEC))
    let said = folder + "/.said"
    let saying = millrace_lift(unsafe open(said, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600))
    var open = [reading, writing, nothing, saying]
    defer { for descriptor in open where descriptor >= 0 { close(descriptor) } }
    if let failed = open.first(where: { $0 < 0 }) { throw CheckStartError(-failed) }

    var child: pid_t = 0
    let environment = self.environment()
    let code = unsafe withTexts([program] + arguments) { words in
      unsafe withTexts(environment) { variables in
        unsafe millrace_spawn(program, words, variables, folder, [nothing, saying, saying, writing], &child)
      }
    }
    guard code == 0 else { throw CheckStartError(code) }
    // Or its end would never be seen.
    close(writing)
    open.removeAll { $0 == writing }
    var process = CheckProcess(ending: .late, said: "")
    let isLate = !process.read(reading, until: millrace_monotonic() + limit)
    // What it has left behind, too: it leads its group.
    kill(-child, SIGKILL)
    var status: Int32 = 0
    while unsafe waitpid(child, &status, 0) < 0, errno == EINTR {}
    if !isLate { process.ending = status & 0x7F == 0 ? .exited(status >> 8 & 0xFF) : .signalled(status & 0x7F) }
    process.said = tail(saying)
    return process
  }

  /// The user's, without what would make a crash slow.
  private static func environment() -> [String] {
    var variables: [String] = []
    var at = unsafe environ
    while let text = unsafe at.pointee {
      variables.append(unsafe String(cString: text))
      unsafe at += 1
    }
    return variables.filter { !$0.hasPrefix("SWIFT_BACKTRACE=") } + ["SWIFT_BACKTRACE=enable=no"]
  }

  /// C strings for the time of the body.
  private static func withTexts<Result>(_ texts: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result) -> Result {
    var pointers: [UnsafeMutablePointer<CChar>?] = unsafe []
    for text in texts { unsafe pointers.append(strdup(text)) }
    unsafe pointers.append(nil)
    defer { for index in unsafe 0..<pointers.count { unsafe free(pointers[index]) } }
    return unsafe pointers.withUnsafeBufferPointer { unsafe body($0.baseAddress!) }
  }

  /// Reads lines until it says that it is done, or all who could write have gone. False: neither by `deadline`.
  private mutating func read(_ descriptor: Int32, until deadline: UInt64) -> Bool {
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    var line: [UInt8] = []
    var total = 0
    while true {
      let now = millrace_monotonic()
      guard now < deadline else { return false }
      var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let ready = unsafe poll(&waiting, 1, Int32(min((deadline - now) / 1_000_000 + 1, 1_000_000)))
      if ready < 0, errno == EINTR { continue }
      guard ready > 0 else { continue }
      // The buffer outlives the call.
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return true }
      total += count
      if total > Self.most { continue }
      for byte in buffer[..<count] {
        if byte != UInt8(ascii: "\n") {
          if line.count < Self.longestLine { line.append(byte) }
          continue
        }
        if let parsed = CheckLine(line) {
          // Only the last one says where it ended.
          if case .at = parsed, case .at? = lines.last { lines.removeLast() }
          lines.append(parsed)
        }
        line = []
      }
    }
  }

  private static func tail(_ descriptor: Int32) -> String {
    let length = 400
    let size = lseek(descriptor, 0, SEEK_END)
    var bytes = [UInt8](repeating: 0, count: length)
    // The buffer outlives the call.
    let count = unsafe pread(descriptor, &bytes, length, max(0, size - length))
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
  }
}

/// The system refuses a process, a pipe or a file.
package struct CheckStartError: Error, CustomStringConvertible {
  let code: Int32

  init(_ code: Int32) { self.code = code }

  // Lives until the next call on this thread; copied at once.
  package var description: String { unsafe "a process for a check cannot be started: \(String(cString: strerror(code)))" }
}
