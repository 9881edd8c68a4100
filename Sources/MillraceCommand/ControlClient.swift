internal import Glibc
internal import Millrace

/// Asks the process that has a data directory something, each question by a connection of its own.
enum ControlClient {
  /// What it answers; nil: no process listens there. Throws what hinders asking, and what it refuses.
  static func ask(_ directory: String, _ request: [JSON.Member]) throws(Refusal) -> JSON? {
    guard let connection = ControlConnection(directory, look: "`millrace run show`") else { return nil }
    return try connection.ask(request)
  }
}

/// A connection to the process that has a directory.
final class ControlConnection {
  /// Seconds after which an answer is not waited for any more.
  static let patience = 30

  private let descriptor: Int32
  private let directory: String
  private let look: String
  private var rest: [UInt8] = []

  /// nil: no process listens there. `look`: what tells whether something took place that was not answered.
  init?(_ directory: String, look: String) {
    guard let descriptor = Self.connect(directory) else { return nil }
    (self.descriptor, self.directory, self.look) = (descriptor, directory, look)
    var wait = timeval(tv_sec: Self.patience, tv_usec: 0)
    // unsafe: read by the kernel during the call.
    _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close(descriptor) }

  /// What it answers. Throws what hinders asking, and what it refuses.
  func ask(_ request: [JSON.Member]) throws(Refusal) -> JSON {
    let line = JSON.object(request).utf8() + [UInt8(ascii: "\n")]
    guard line.count <= ControlSocket.longestLine else {
      throw Refusal(.wrongUse, "what is sent has \(line.count) bytes, and may have \(ControlSocket.longestLine)")
    }
    let text = try exchange(line)
    let answer: JSON
    do throws(JSONSyntaxError) { answer = try JSON(parsing: text) } catch {
      throw Refusal(.tryAgain, "the process that has \(directory) answers with no JSON: \(error)")
    }
    return try Self.checked(answer)
  }

  /// An answer that is no refusal. Throws it if it is one.
  static func checked(_ answer: JSON) throws(Refusal) -> JSON {
    if answer["ok"] == true { return answer }
    throw Refusal(exit(answer["code"]?.string ?? ""), answer["message"]?.string ?? "no reason is given")
  }

  private static func exit(_ code: String) -> Exit {
    switch code {
    case "refused", "bad-request", "unknown-queue": .wrongUse
    default: .tryAgain
    }
  }

  private static func connect(_ directory: String) -> Int32? {
    do throws(ControlSocket.Failure) {
      let folder = try ControlSocket.open(directory)
      defer { close(folder) }
      let descriptor = try ControlSocket.make(isBlocking: true)
      if unsafe ControlSocket.withAddress(in: folder, { address, length in unsafe Glibc.connect(descriptor, address, length) }) == 0 {
        return descriptor
      }
      close(descriptor)
      return nil
    } catch { return nil }
  }

  /// The line that comes back.
  private func exchange(_ line: [UInt8]) throws(Refusal) -> [UInt8] {
    guard ControlSocket.send(line, to: descriptor) else {
      throw Refusal(.tryAgain, "the process that has \(directory) does not listen: \(Output.reason(errno))")
    }
    var buffer = [UInt8](repeating: 0, count: 4_096)
    while rest.count <= ControlSocket.longestLine {
      if let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
        defer { rest.removeFirst(end + 1) }
        return Array(rest[..<end])
      }
      // unsafe: at most as many bytes as the buffer has.
      let got = unsafe recv(descriptor, &buffer, buffer.count, 0)
      if got < 0, errno == EINTR { continue }
      if got < 0, errno == EAGAIN { break }
      guard got > 0 else { throw Refusal(.tryAgain, "the process that has \(directory) ended before it answered: see \(look)") }
      rest += buffer[..<got]
    }
    throw Refusal(.tryAgain, "no answer in \(Self.patience) s: whether it took place, \(look) tells")
  }
}
