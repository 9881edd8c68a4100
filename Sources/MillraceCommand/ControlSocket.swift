internal import Glibc

/// The socket of a data directory by which other processes ask something of its runs: `DIR/control`, for its owner only. One JSON object a line, each way.
enum ControlSocket {
  static let name = "control"
  /// Bytes of a line, its end included.
  static let longestLine = 64 << 10

  /// A socket that is closed in programs that are started. Throws an errno value.
  static func make(isBlocking: Bool) throws(Failure) -> Int32 {
    let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | (isBlocking ? 0 : SOCK_NONBLOCK.rawValue)
    let descriptor = socket(AF_UNIX, Int32(kind), 0)
    if descriptor < 0 { throw Failure(code: errno) }
    return descriptor
  }

  struct Failure: Error { var code: Int32 }

  /// Calls `body`, `bind` or `connect`, with the address of the socket of the open directory `folder`: by that, since an address has room for 107 bytes. -1: errno tells why.
  static func withAddress(in folder: Int32, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let path = Array("/proc/self/fd/\(folder)/\(name)".utf8)
    // unsafe: some 30 bytes in 108, the rest of which is 0.
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path) }
    return unsafe withUnsafePointer(to: &address) { pointer in
      // unsafe: a sockaddr_un begins as every sockaddr.
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
  }

  /// The open directory. Throws an errno value.
  static func open(_ directory: String) throws(Failure) -> Int32 {
    let folder = unsafe Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if folder < 0 { throw Failure(code: errno) }
    return folder
  }

  /// Sends all of it; false if it does not go, or would have to wait on a socket that must not.
  static func send(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      // unsafe: the bytes outlive the call.
      let sent = unsafe rest.withUnsafeBytes { unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      if sent < 0, errno == EINTR { continue }
      if sent < 0 { return false }
      rest = rest.dropFirst(sent)
    }
    return true
  }
}
